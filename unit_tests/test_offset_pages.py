"""Offset lists: all rows are read for any length, order, skip cap and ties, and while rows are added and deleted."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

import orjson
import pytest
import requests_mock
import time_machine
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import given, settings
from hypothesis import strategies as st

from source_close.dates import format_moment, parse_moment
from unit_tests.search_api import ranges
from unit_tests.syncs import API, NOW, Row, manifest_of, plain_config

START = datetime(2025, 6, 1, tzinfo=timezone.utc)
DAYS = 14
ORDERS: dict[str, Callable[[Row], Any]] = {
    "newest first": lambda row: (-parse_moment(row["date_created"]).timestamp(), row["id"]),
    "oldest first": lambda row: (row["date_created"], row["id"]),
    "by id": lambda row: row["id"],
    "arbitrary": lambda row: crc32(row["id"].encode()),  # not hash(), which orders differently in each process
}
OLD = '{{"error": "The skip you set is larger than the maximum skip for this resource (max_skip = {cap})."}}'
NEW = '{{"errors": [], "field-errors": {{"_skip": "Input should be less than or equal to {cap}"}}}}'
OLD_UNDER_FIELD = (
    '{{"field-errors": {{"_skip": "The skip you set is larger than the maximum skip for this resource"}}}}'
)
NEW_IN_A_LIST = '{{"message": [{{"_skip": ["INPUT SHOULD BE LESS THAN OR EQUAL TO {cap}"]}}],\n "errors": []}}'
WORDINGS = [OLD, NEW, OLD_UNDER_FIELD, NEW_IN_A_LIST]


def activities(page_size: int) -> AbstractStream:
    """Return activities from 2025-06-01 to 2025-06-15 12:00, in one window and with ``page_size`` rows per page."""
    manifest = manifest_of("activities")
    definitions, lists = manifest["definitions"], manifest["definitions"]["append_only_list_retriever"]
    paginator = {
        **definitions["offset_paginator"],
        "pagination_strategy": {**definitions["offset_paginator"]["pagination_strategy"], "page_size": page_size},
    }
    definitions = {**definitions, "append_only_list_retriever": {**lists, "paginator": paginator}}
    config = plain_config({"start_date": "2025-06-01", "attribution_window_hours": 0})
    with time_machine.travel(NOW, tick=False):
        source = ConcurrentDeclarativeSource(None, config, None, source_config={**manifest, "definitions": definitions})
        (stream,) = source.streams({})
    return stream


@dataclass
class ListApi:
    """A mock of an offset list with a skip cap; the order of its rows is stable, but unknown to the reader."""

    rows: list[Row]
    order: Callable[[Row], Any] = ORDERS["oldest first"]
    cap: int | None = None
    wording: str = OLD
    whole_seconds: bool = False
    then: dict[int, Callable[[list[Row]], object]] = field(default_factory=dict)
    before_request: Callable[[], object] = lambda: None
    requests: list[tuple[str, int]] = field(default_factory=list)
    leads: list[str] = field(default_factory=list)

    def respond(self, request: Any, context: Any) -> Any:
        if request.method == "POST":
            rows = [{"id": lead, "date_created": "2020-01-01T00:00:00+00:00"} for lead in self.leads]
            start, end = ranges(orjson.loads(request.body))["date_created"]
            return {"data": rows if start < "2020-01-01" < end else []}
        self.before_request()
        url = urlsplit(request.url)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        skip, limit = int(query["_skip"]), int(query["_limit"])
        kind, leads = url.path.removeprefix("/api/v1/activity/"), query.get("lead_id__in")
        self.requests.append((kind + (f"?{leads}" if leads else ""), skip))
        assert len(self.requests) < 20_000, "the read does not end"
        if self.cap is not None and skip > self.cap:
            context.status_code = 400
            return self.wording.format(cap=self.cap)
        low, high = (self.cut(parse_moment(query[f"date_created__{bound}"])) for bound in ("gte", "lt"))
        found = [row for row in self.rows if low <= self.cut(parse_moment(row["date_created"])) < high]
        found = [row for row in found if kind in {"", row.get("_type")}]
        found = [row for row in found if leads is None or row["lead_id"] in leads.split(",")]
        found.sort(key=self.order)
        page = {"data": found[skip : skip + limit], "has_more": len(found) > skip + limit}
        if change := self.then.get(len(self.requests)):
            change(self.rows)
        return page

    def cut(self, at: datetime) -> datetime:
        return at.replace(microsecond=0) if self.whole_seconds else at


cached_activities = cache(activities)


def read(api: ListApi, page_size: int = 3, stream: AbstractStream | None = None) -> list[str]:
    """Return the ids in the order in which they are read; a test whose stream fails must pass a new ``stream``."""
    stream = stream or cached_activities(page_size)

    def text(request: Any, context: Any) -> str:
        body = api.respond(request, context)
        return body if isinstance(body, str) else orjson.dumps(body).decode()

    with requests_mock.Mocker() as close:
        close.get(requests_mock.ANY, text=text)
        close.post(f"{API}/data/search/", text=text)
        return [str(record["id"]) for partition in stream.generate_partitions() for record in partition.read()]


def letters(ids: str, then: dict[int, Callable[[list[Row]], object]] | None = None) -> ListApi:
    """Return a list of rows with one date, in this order; ``then`` changes them after the request of that number."""
    stamp = "2025-06-05T00:00:00+00:00"
    return ListApi([{"id": one, "date_created": stamp} for one in ids], lambda row: 0, then=then or {})


def row(number: int, at: datetime, **more: Any) -> Row:
    return {"id": f"acti_{number}", "date_created": format_moment(at), "_type": "note/", "lead_id": None, **more}


def burst(count: int, seconds: int) -> list[Row]:
    """Return rows that are spread evenly over ``seconds``."""
    return [row(n, START + timedelta(days=7, milliseconds=n * seconds * 1000 // count)) for n in range(count)]


@pytest.mark.parametrize(
    ("ids", "skips"),
    [("", [0]), ("a", [0]), ("abc", [0]), ("abcd", [0, 2]), ("abcde", [0, 2]), ("abcdef", [0, 2, 4])],
    ids=["empty", "one row", "one full page", "one row more", "two full pages", "three pages"],
)
def test_each_request_begins_with_the_last_row_of_the_previous_page(ids: str, skips: list[int]) -> None:
    api = letters(ids)
    assert "".join(read(api)) == ids
    assert [skip for _, skip in api.requests] == skips


def test_a_row_deleted_from_a_page_already_read_causes_no_gap() -> None:
    api = letters("abcdefgh", {1: lambda rows: rows.pop(0)})
    assert "".join(read(api)) == "abcdefgh"
    # The page at skip 2 of bcdefgh begins with d instead of c, so the reader steps back to the known row b.
    assert [skip for _, skip in api.requests][:3] == [0, 2, 0]


def test_rows_that_move_to_the_start_of_the_next_page_cause_no_gap() -> None:
    """Edited rows move in a list sorted by modification, and so do rescheduled meetings.

    The next page then begins with a known row that is not the last row read.
    """
    api = letters("abcdefg", {2: lambda rows: rows.extend([rows.pop(0), rows.pop(0), rows.pop(0)])})
    assert sorted(read(api)) == list("abcdefg")


def test_a_row_inserted_before_the_pages_already_read_causes_no_duplicate() -> None:
    api = letters("abcdefg", {1: lambda rows: rows.insert(0, {**rows[0], "id": "new"})})
    assert "".join(read(api)) == "abcnewdefg"


def test_the_last_rows_are_read_when_all_rows_before_them_are_deleted() -> None:
    api = letters("abcdefghijkl", {3: lambda rows: rows.__delitem__(slice(0, 9))})
    assert "".join(read(api)) == "abcdefgjkl"
    assert len(api.requests) <= 8


def test_the_read_ends_when_all_rows_are_deleted() -> None:
    api = letters("abcdefgh", {2: lambda rows: rows.clear()})
    assert "".join(read(api)) == "abcde"
    assert api.requests[-1] == ("", 0)


@pytest.mark.parametrize("rest", [[], None], ids=["no rows", "other rows with each request"])
def test_a_list_whose_later_pages_never_overlap_the_rows_read_fails_the_stream(rest: list[Row] | None) -> None:
    stamp, number = "2025-06-05T00:00:00+00:00", iter(range(10**6))
    api = ListApi([])

    def respond(request: Any, context: Any) -> Row:
        assert next(number) < 1_000, "the read does not end"
        rows = [{"id": f"row_{next(number)}", "date_created": stamp} for _ in range(3)] if rest is None else rest
        first = [{"id": one, "date_created": stamp} for one in "abc"]
        return {"data": first if "_skip=0" in request.url else rows, "has_more": True}

    api.respond = respond  # type: ignore[method-assign]
    with pytest.raises(AirbyteTracedException, match=r"Close has more records at 2025-06-05T00:00:00.000000\+00:00"):
        read(api, stream=activities(3))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
@pytest.mark.parametrize("wording", WORDINGS, ids=["old", "new", "old under the field", "new in a list"])
def test_a_list_longer_than_the_skip_cap_is_read_completely(order: Any, wording: str) -> None:
    api = ListApi(burst(900, 3600), order, cap=150, wording=wording)
    assert sorted(read(api, 10)) == sorted(row["id"] for row in api.rows)
    # 100 pages have nine new rows each; after a split, reading continues where the previous window was cut.
    assert len(api.requests) <= 1.25 * 100


@pytest.mark.parametrize(
    "text",
    [
        "<html>400</html>",
        '{"error": "The limit you set is larger than the maximum limit for this resource (max_limit = 100)."}',
        '{"errors": [], "field-errors": {"_limit": "Input should be less than or equal to 200"}}',
        '{"errors": [], "field-errors": {"cursor": "Expired cursor"}}',
        '{"error": "_skip must be a non-negative integer (got \\"-1\\" instead)."}',
    ],
)
def test_other_400s_are_not_taken_for_the_skip_cap(text: str) -> None:
    api = ListApi(burst(50, 50), cap=10, wording=text.replace("{", "{{").replace("}", "}}"))
    with pytest.raises(AirbyteTracedException, match=r"answered 400: .*Close rejected the request as invalid\."):
        read(api, stream=activities(3))


moments = st.one_of(
    st.integers(0, DAYS * 86_400_000 - 1),
    st.integers(0, 20_000).map(lambda ms: 10**9 + ms),
    st.integers(0, 30).map(lambda s: 10**9 + s * 1000),
)


@st.composite
def lists(draw: st.DrawFn) -> tuple[ListApi, int]:
    """Draw a list with random dates, ties, bursts, order, and a skip cap above the number of rows in any one second."""
    stamps = draw(st.lists(moments, max_size=200))
    page_size = draw(st.sampled_from([2, 3, 10, 25]))
    rows = [row(n, START + timedelta(milliseconds=ms)) for n, ms in enumerate(stamps)]
    fullest = max(([ms // 1000 for ms in stamps].count(s) for s in {ms // 1000 for ms in stamps}), default=0)
    cap = draw(st.one_of(st.none(), st.integers(fullest + 2 * page_size, fullest + 150)))
    order, wording = ORDERS[draw(st.sampled_from(sorted(ORDERS)))], draw(st.sampled_from(WORDINGS))
    return ListApi(rows, order, cap=cap, wording=wording, whole_seconds=draw(st.booleans())), page_size


@settings(max_examples=60, deadline=None)
@given(lists())
def test_each_row_is_read_once_for_any_dates_order_and_cap(drawn: tuple[ListApi, int]) -> None:
    api, page_size = drawn
    assert sorted(read(api, page_size)) == sorted(row["id"] for row in api.rows)


@settings(max_examples=60, deadline=None)
@given(lists(), st.integers(0, 10**6))
def test_no_row_is_missed_while_others_are_added_and_deleted(drawn: tuple[ListApi, int], seed: int) -> None:
    api, page_size = drawn
    changes, number = random.Random(seed), iter(range(10**6, 10**9))
    staying = {row["id"] for row in api.rows}

    def change() -> None:
        if api.rows and changes.random() < 0.5:
            for _ in range(changes.choice([1, 1, 1, page_size])):
                if api.rows:
                    staying.discard(api.rows.pop(changes.randrange(len(api.rows)))["id"])
        elif changes.random() < 0.1:
            api.rows.append(row(next(number), START + timedelta(seconds=changes.randrange(DAYS * 86400))))

    api.before_request = change
    assert staying - set(read(api, page_size)) == set()


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_more_rows_at_one_moment_than_the_cap_are_read_by_type(order: Any) -> None:
    at = START + timedelta(days=3)
    tied = [row(10_000 + n, at, _type=kind) for n, kind in enumerate(["note/", "call/", "status_change/lead/"] * 100)]
    api = ListApi([*tied, *burst(50, 50)], order, cap=150)
    assert sorted(read(api, 10)) == sorted(row["id"] for row in api.rows)


def test_a_type_with_more_rows_than_the_cap_is_read_by_40_leads_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    at = START + timedelta(days=3)
    leads = [f"lead_{number}" for number in range(50)]
    tied = [row(n, at, lead_id=leads[n % 50]) for n in range(300)]
    api = ListApi([*tied, row(900, at, _type="call/")], ORDERS["by id"], cap=80, leads=leads)
    assert sorted(read(api, 10)) == sorted(row["id"] for row in api.rows)
    by_leads = {kind: len(kind.split(",")) for kind, _ in api.requests if "?" in kind}
    # The rows of 40 leads (240) and of 20 leads (120) exceed the cap of 80; those of 10 leads (60) do not.
    assert sorted(by_leads.values(), reverse=True) == [40, 20, 20, 10, 10, 10, 10, 10]
    assert "too many records at 2025-06-04T00:00:00.000000+00:00 for one list" in caplog.text


@pytest.mark.parametrize(
    ("lead_ids", "leads"),
    [(["lead_1"], ["lead_1", "lead_2"]), ([None], ["lead_1"])],
    ids=["one lead has too many rows", "some rows have no lead"],
)
def test_more_rows_at_one_moment_than_any_list_returns_fail_the_stream(
    lead_ids: list[str | None], leads: list[str]
) -> None:
    at = START + timedelta(days=3, milliseconds=250)
    api = ListApi([row(n, at, lead_id=lead_ids[0]) for n in range(300)], ORDERS["by id"], cap=150, leads=leads)
    with pytest.raises(
        AirbyteTracedException,
        match=r"^Stream activities: Close has more records at 2025-06-04T00:00:00.*read by lead",
    ):
        read(api, stream=activities(10))


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
@pytest.mark.parametrize("count", [100, 5_000])
def test_a_read_sends_at_most_a_quarter_more_requests_than_pages(count: int, order: str) -> None:
    api = ListApi(burst(count, 86_400 * 6), ORDERS[order])
    ids = read(api, 100)
    assert len(ids) == len(set(ids)) == count
    assert len(api.requests) <= 1.25 * count / 100
