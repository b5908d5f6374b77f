"""Rows of single records, and of those that are gone."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from unittest.mock import Mock

import pytest
from airbyte_cdk.models import FailureType

from source_close.changes import Changes, Deletion
from source_close.errors import CloseApiError
from source_close.refetch import DELETED_AT, Refetch, tombstone

GONE_AT = datetime(2025, 3, 1, 2, 3, 4, 5000, tzinfo=timezone.utc)
GONE_TEXT = "2025-03-01T02:03:04.005000+00:00"
CREATED = "2020-01-02T03:04:05+00:00"


class Api:
    """Plays the transport: lists by ids from what it has, and single records unless they are `gone`."""

    def __init__(self, *ids: str, gone: frozenset[str] = frozenset(), status: int = 404, answers: str = "") -> None:
        self.ids = ids
        self.gone = gone
        self.status = status
        self.answers = answers
        self.asked: list[Any] = []

    def fetch(self, endpoint: Any, *, json: Any, path: str = "", is_list: bool = True) -> Any:
        self.asked.append(path or json["_params"])
        if is_list:
            wanted = json["_params"]["id__in"].split(",")
            return {"data": [{"id": one, "content": "new"} for one in self.ids if one in wanted or "*" in self.ids]}
        if (record_id := path.rstrip("/")) in self.gone:
            raise CloseApiError(
                message="gone", failure_type=FailureType.system_error, status=self.status, text="", stream="leads"
            )
        return {"id": self.answers or record_id}


def pages(
    api: Api,
    changed: set[str],
    deleted: dict[str, Deletion] | None = None,
    emitted: set[str] | None = None,
    **options: Any,
) -> list[list[dict[str, Any]]]:
    changes = Changes(["lead"], GONE_AT, changed, deleted or {})
    refetch = Refetch(api, Mock(), **options)  # type: ignore[arg-type] # plays its one method
    return list(refetch.pages(changes, emitted or set(), "date_updated"))


def test_a_request_for_each_hundred() -> None:
    ids = {f"lead_{number:03}" for number in range(250)}
    api = Api(*ids)
    rows = pages(api, ids, parameters={"_type": "all"})
    assert [len(page) for page in rows] == [100, 100, 50]
    assert {row["id"] for page in rows for row in page} == ids
    for asked in api.asked:
        assert asked["_limit"] == 100
        assert asked["_type"] == "all"
    assert pages(Api(), set()) == []


def test_what_the_windows_have_emitted_is_not_asked_for() -> None:
    api = Api("a", "b")
    assert pages(api, {"a", "b"}, emitted={"a"}) == [[{"id": "b", "content": "new"}]]
    assert [asked["id__in"] for asked in api.asked] == ["b"]


def test_only_what_the_log_says_is_deleted_is_and_only_if_it_is_gone() -> None:
    """`hidden` has changed and can't be seen; `back` is there again; `seen` came in a window before it went."""
    api = Api("back", "changed")
    deleted = {one: Deletion(GONE_AT) for one in ("back", "gone", "seen")}
    (rows,) = pages(api, {"hidden", "changed", "gone"}, deleted, {"seen"})
    assert rows == [
        {"id": "back", "content": "new"},
        {"id": "changed", "content": "new"},
        {"id": "gone", "date_updated": GONE_TEXT, DELETED_AT: GONE_TEXT},
        {"id": "seen", "date_updated": GONE_TEXT, DELETED_AT: GONE_TEXT},
    ]


def test_there_again_and_emitted_by_a_window_does_not_come_twice() -> None:
    assert pages(Api("back"), set(), {"back": Deletion(GONE_AT)}, {"back"}) == [[]]


def test_rows_that_were_not_asked_for_are_left_out() -> None:
    """Close ignores a filter that it does not understand."""
    assert pages(Api("*", "a", "stranger"), {"a"}) == [[{"id": "a", "content": "new"}]]


@pytest.mark.parametrize(
    ("api", "is_gone"),
    [
        (Api("a"), False),
        (Api("a", gone=frozenset("a")), True),
        (Api("a", answers="lead_it_was_merged_into"), True),
    ],
)
def test_an_index_that_lags_is_not_taken_at_its_word(api: Api, *, is_gone: bool) -> None:
    (rows,) = pages(api, {"b"}, {"a": Deletion(GONE_AT)}, confirm_one_by_one=True)
    assert (DELETED_AT in rows[0]) is is_gone
    assert api.asked[1:] == ["a/"]  # and nobody asks for one that nobody calls deleted


def test_an_error_other_than_not_found_is_no_proof() -> None:
    with pytest.raises(CloseApiError):
        pages(Api("a", gone=frozenset("a"), status=403), set(), {"a": Deletion(GONE_AT)}, confirm_one_by_one=True)


@pytest.mark.parametrize(
    ("cursor_field", "date_created", "value"),
    [
        ("date_updated", CREATED, GONE_TEXT),
        ("date_updated", None, GONE_TEXT),
        ("date_created", CREATED, CREATED),
        ("date_created", None, GONE_TEXT),
    ],
)
def test_the_row_of_a_deletion(cursor_field: str, date_created: str | None, value: str) -> None:
    """No older than the rows before it: where activities count by their creation, with that of the activity."""
    row = tombstone("acti_1", cursor_field, Deletion(GONE_AT, date_created))
    assert row == {"id": "acti_1", cursor_field: value, DELETED_AT: GONE_TEXT}
