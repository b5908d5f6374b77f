"""Tasks, users and custom fields are read in pages of 1,000, or of 100 where Close refuses that."""

from typing import Any

import pytest
from airbyte_cdk.sources.declarative.concurrent_declarative_source import TestLimits
from requests_mock import Mocker

from source_close.source import SourceClose
from unit_tests.syncs import API, KEY, KINDS, LOGGER, Row, read, requested

NEW_WORDING = {"errors": [], "field-errors": {"_limit": "Input should be less than or equal to 100"}}
OLD_WORDING = {"error": "The limit you set is larger than the maximum limit for this resource (max_limit = 100)."}
WITHOUT_A_NAME = {"error": "Input should be less than or equal to 100"}


class List:
    """A list of Close that refuses pages of more than ``largest`` rows, and may change while it is read."""

    def __init__(self, count: int, refusal: Row, largest: int = 100) -> None:
        self.rows = [{"id": f"id_{number}", "date_updated": "2025-06-01T00:00:00+00:00"} for number in range(count)]
        self.changes: list[Any] = []
        self._refusal = refusal
        self._largest = largest

    def __call__(self, request: Any, context: Any) -> Row:
        limit, offset = int(request.qs["_limit"][0]), int(request.qs["_skip"][0])
        if limit > self._largest:
            context.status_code = 400
            return self._refusal
        body = {"data": self.rows[offset : offset + limit], "has_more": offset + limit < len(self.rows)}
        if self.changes:
            self.changes.pop(0)(self.rows)
        return body


def sizes(api: Mocker, path: str) -> list[tuple[int, int]]:
    """Return the limit and the offset of each request."""
    found = [request.qs for request in api.request_history if request.path.startswith(f"/api/v1{path}")]
    return [(int(one["_limit"][0]), int(one["_skip"][0])) for one in found]


@pytest.mark.parametrize("refusal", [NEW_WORDING, OLD_WORDING, WITHOUT_A_NAME], ids=["new", "old", "without a name"])
@pytest.mark.parametrize(("stream", "path"), [("users", "/user/"), ("tasks", "/task/")])
def test_smaller_pages_are_read_where_close_refuses_large_ones(
    api: Mocker, stream: str, path: str, refusal: Row
) -> None:
    api.get(f"{API}{path}", json=List(250, refusal))
    reading = read(stream, start_date="2025-05-20")
    assert reading.failures == []
    assert sizes(api, path) == [(1000, 0), (100, 0), (100, 99), (100, 198)]
    assert reading.ids == [f"id_{number}" for number in range(250)]


def test_after_a_refusal_a_step_back_is_as_large_as_the_smaller_page(api: Mocker) -> None:
    users = List(350, NEW_WORDING)
    users.changes = [lambda _: None, lambda _: None, lambda rows: rows.pop(0)]
    api.get(f"{API}/user/", json=users)
    reading = read("users")
    assert sizes(api, "/user/") == [
        (1000, 0), (100, 0), (100, 99), (100, 198), (100, 297), (100, 197), (100, 296)
    ]  # fmt: skip
    assert reading.ids == [f"id_{number}" for number in range(350)]


def test_a_large_page_is_refused_once_for_all_windows_of_a_stream(api: Mocker) -> None:
    api.get(f"{API}/task/", json=List(0, NEW_WORDING))
    read("tasks", start_date="2025-01-01")
    assert [limit for limit, _ in sizes(api, "/task/")] == [1000] + [100] * 6


def test_custom_fields_of_all_lists_are_read_in_smaller_pages(api: Mocker) -> None:
    for kind in KINDS:
        api.get(f"{API}/custom_field/{kind}/", json=List(120, NEW_WORDING))
    assert len(read("custom_fields").ids) == 6 * 120
    assert [limit for limit, _ in sizes(api, "/custom_field/")] == [1000] + [100] * 12


def test_a_check_and_a_discover_find_the_smaller_page_size(api: Mocker) -> None:
    for path in ("user", "task", *(f"custom_field/{kind}" for kind in KINDS)):
        api.get(f"{API}/{path}/", json=List(1, NEW_WORDING))
    for path in ("activity", "event"):
        api.get(f"{API}/{path}/", json={"data": [], "has_more": False})
    api.post(f"{API}/data/search/", json={"data": [], "cursor": None})
    status = SourceClose().check(LOGGER, {"api_key": KEY})
    assert (status.status.value, status.message) == ("SUCCEEDED", None)
    assert SourceClose().discover(LOGGER, {"api_key": KEY}).streams


def test_a_refusal_of_the_smaller_pages_is_an_error_that_quotes_close(api: Mocker) -> None:
    api.get(f"{API}/user/", json=List(1, {"field-errors": {"_limit": "Input should be less than or equal to 50"}}, 50))
    [(stream, _, message)] = read("users").failures
    assert stream == "users"
    assert message == (
        "Stream users: a request with _skip 0 and _limit 100 answered 400: «_limit: Input should be less than or equal "
        "to 50». Please report this message."
    )
    assert len(requested(api, "/user/")) == 2


def test_a_page_size_that_is_refused_later_is_reduced_where_the_list_was(api: Mocker) -> None:
    users = List(2_500, NEW_WORDING, largest=1_000)
    users.changes = [lambda _: setattr(users, "_largest", 100)]
    api.get(f"{API}/user/", json=users)
    assert read("users").ids == [f"id_{number}" for number in range(2_500)]
    assert sizes(api, "/user/")[:4] == [(1000, 0), (1000, 999), (100, 999), (100, 1098)]


def test_a_refused_offset_of_a_whole_list_is_an_error_that_quotes_close(api: Mocker) -> None:
    rows = [{"id": f"id_{number}"} for number in range(1_000)]
    text = "The skip you set is larger than the maximum skip for this resource (max_skip = 900)."
    refusal = {"status_code": 400, "json": {"error": text}}
    api.get(f"{API}/user/", [{"json": {"data": rows, "has_more": True}}, refusal])
    [(_, _, message)] = read("users").failures
    assert message == (
        f"Stream users: a request with _skip 999 and _limit 1000 answered 400: «{text}». Please report this message."
    )


def test_a_test_read_of_airbytes_tools_reads_smaller_pages_as_well(api: Mocker) -> None:
    api.get(f"{API}/user/", json=List(250, NEW_WORDING))
    limits = TestLimits(max_records=1_000, max_pages_per_slice=5, max_slices=5)
    assert len(read("users", limits=limits).ids) == 250


@pytest.mark.parametrize(("count", "is_read"), [(99, True), (100, False), (999, True), (1_000, False), (1_001, True)])
def test_only_a_page_whose_length_is_a_page_size_must_say_whether_more_rows_follow(
    api: Mocker, count: int, is_read: bool
) -> None:
    """A list that is not paged may have more rows than were asked for. Close may cut a page of 1,000 rows to 100."""
    rows = [{"id": f"user_{number}"} for number in range(count)]
    api.get(f"{API}/user/", json={"data": rows, "total_results": count})
    reading = read("users")
    assert (len(reading.ids) == count) == is_read
    failures = [message for _, _, message in reading.failures]
    assert failures == [] if is_read else "does not say whether more records follow" in failures[0]


@pytest.mark.parametrize("count", [100, 1_000])
@pytest.mark.parametrize("kind", ["shared", "custom_object_type"])
def test_a_list_that_has_no_pages_may_have_any_number_of_rows(api: Mocker, kind: str, count: int) -> None:
    for other in KINDS:
        api.get(f"{API}/custom_field/{other}/", json={"data": [], "has_more": False})
    api.get(f"{API}/custom_field/{kind}/", json={"data": [{"id": f"cf_{number}"} for number in range(count)]})
    assert len(read("custom_fields").ids) == count
