"""Offset lists: complete whatever their length, order, skip cap and ties, and while rows come and go."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from source_close.components.windowed_list_retriever import WindowedListRetriever
from source_close.cursor import WindowCursor
from source_close.errors import CloseApiError
from unit_tests.list_api import END, START, ListApi, make_cursor, read_all, row

ORDERS = {
    "newest first": lambda row: (-datetime.fromisoformat(row["date_created"]).timestamp(), row["id"]),
    "oldest first": lambda row: (row["date_created"], row["id"]),
    "by id": lambda row: row["id"],
    "arbitrary": lambda row: crc32(row["id"].encode()),  # not hash(): that orders differently in each process
}


def retriever_for(api: ListApi, cursor: WindowCursor, page_size: int = 10) -> WindowedListRetriever:
    return WindowedListRetriever(
        requester=Mock(),
        config={},
        name="activities",
        page_size=page_size,
        transport=api,  # type: ignore[arg-type] # plays its two methods
        cursor=cursor,
        parameters={},
        lower_bound="date_created__gte",
        upper_bound="date_created__lt",
        narrow_by=[{"path": kind} for kind in ("note/", "call/", "email/")],
    )


def read(api: ListApi, *, page_size: int = 10, seed: int = 0) -> list[str]:
    cursor = make_cursor()
    return read_all(retriever_for(api, cursor, page_size), cursor, random.Random(seed))


def burst(count: int, seconds: int, at: datetime = START + timedelta(days=100)) -> list[dict[str, Any]]:
    """Rows spread evenly over some seconds."""
    return [row(n, at + timedelta(milliseconds=n * seconds * 1000 // count)) for n in range(count)]


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
@pytest.mark.parametrize("wording", ["old", "new"])
@pytest.mark.parametrize("names_cap", [True, False])
def test_nine_thousand_rows_in_an_hour_under_a_cap_of_fifteen_hundred(
    order: Any, wording: str, names_cap: bool
) -> None:
    api = ListApi(burst(9000, 3600), order, cap=1500, wording=wording, names_cap=names_cap)
    ids = read(api, page_size=100)
    assert sorted(ids) == sorted(row["id"] for row in api.rows)
    assert len(api.requests) <= 1.25 * 90


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_sparse_years_cost_one_request(order: Any) -> None:
    api = ListApi([row(1, START), row(2, END - timedelta(milliseconds=1))], order)
    assert sorted(read(api)) == ["acti_1", "acti_2"]
    assert len(api.requests) == 1


moments = st.one_of(
    st.integers(0, 2 * 365 * 86400 * 1000 - 1),
    st.integers(0, 20_000).map(lambda ms: 10**10 + ms),
    st.integers(0, 30).map(lambda s: 10**10 + s * 1000),
)


@st.composite
def lists(draw: st.DrawFn) -> ListApi:
    """Lists of random stamps with ties and bursts, in random order, under a random cap that one second fits below."""
    stamps = draw(st.lists(moments, max_size=400))
    page_size = draw(st.sampled_from([2, 3, 10, 25]))
    rows = [row(n, START + timedelta(milliseconds=ms)) for n, ms in enumerate(stamps)]
    fullest = max(([ms // 1000 for ms in stamps].count(s) for s in {ms // 1000 for ms in stamps}), default=0)
    cap = draw(st.one_of(st.none(), st.integers(fullest + 2 * page_size, fullest + 300)))
    return ListApi(
        rows,
        ORDERS[draw(st.sampled_from(sorted(ORDERS)))],
        cap=cap,
        names_cap=draw(st.booleans()),
        wording=draw(st.sampled_from(["old", "new"])),
        whole_seconds=draw(st.booleans()),
        requests=[{"page_size": page_size}],
    )


@settings(max_examples=100, deadline=None)
@given(api=lists(), seed=st.integers(0, 10**6))
def test_complete_and_once_for_any_stamps_order_and_cap(api: ListApi, seed: int) -> None:
    page_size = api.requests.pop()["page_size"]
    ids = read(api, page_size=page_size, seed=seed)
    assert sorted(ids) == sorted(row["id"] for row in api.rows)


@settings(max_examples=100, deadline=None)
@given(api=lists(), seed=st.integers(0, 10**6))
def test_no_row_that_stays_is_missed_while_others_come_and_go(api: ListApi, seed: int) -> None:
    page_size = api.requests.pop()["page_size"]
    changes = random.Random(seed)
    staying = {row["id"] for row in api.rows}
    number = iter(range(10**6, 10**9))

    def change() -> None:
        if api.rows and changes.random() < 0.5:
            for _ in range(changes.choice([1, 1, 1, page_size])):
                if api.rows:
                    staying.discard(api.rows.pop(changes.randrange(len(api.rows)))["id"])
        elif changes.random() < 0.1:
            api.rows.append(row(next(number), START + timedelta(seconds=changes.randrange(2 * 365 * 86400))))

    api.before_request = change
    ids = read(api, page_size=page_size, seed=seed)
    assert staying - set(ids) == set()


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_more_rows_on_one_moment_than_the_cap_come_by_type(order: Any) -> None:
    moment = START + timedelta(days=30)
    rows = [row(10_000 + n, moment, _type=kind) for n, kind in enumerate(["note/", "call/", "email/"] * 100)]
    api = ListApi([*rows, *burst(50, 50)], order, cap=150)
    ids = read(api)
    assert sorted(ids) == sorted(row["id"] for row in api.rows)


def test_more_rows_on_one_moment_than_any_list_gives_out_fail_the_stream() -> None:
    moment = START + timedelta(days=30, milliseconds=250)
    api = ListApi([row(n, moment) for n in range(300)], ORDERS["by id"], cap=150)
    with pytest.raises(CloseApiError, match="2024-01-31T00:00:00"):
        read(api)


@pytest.mark.parametrize("count", [100, 1_000, 5_000, 60_000])
@pytest.mark.parametrize("order", ["newest first", "oldest first"])
def test_requests_stay_within_a_quarter_more_than_the_pages_need(count: int, order: str) -> None:
    api = ListApi(burst(count, 86400 * 300), ORDERS[order])
    ids = read(api, page_size=100)
    assert len(ids) == len(set(ids)) == count
    assert len(api.requests) <= math.ceil(1.25 * math.ceil(count / 100))
