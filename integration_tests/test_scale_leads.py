"""Searches beyond the limits: 10,000 rows per chain of pages, cursors that expire, and the end of a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.running import Connector
from integration_tests.harness.truth import DAY, LOOKBACK, assert_complete, forbid_after, ids, now, saved_cursor, text

PAGE = 200


def add_leads(api: LocalCloseApi, count: int, day: Any, *, at_once: int = 0) -> None:
    """Add leads that were updated within one day, `at_once` of them in the same millisecond."""
    api.store.load_many("lead", count - at_once, day, day + DAY)
    for part in range(4):
        created = day - (part + 1) * DAY
        api.store.load_many("lead", at_once // 4, created, created + DAY, date_updated=text(day + DAY / 2))


@pytest.mark.parametrize(
    ("count", "at_once", "past_max_rows", "cursor"),
    [
        (23_000, 0, "null", "snapshot"),
        (11_000, 0, "reject", "after"),
        (11_000, 0, "null", "offset"),
        (11_000, 10_400, "reject", "snapshot"),
    ],
)
def test_a_day_with_more_leads_than_a_chain_returns_is_read_completely(
    make_api: Callable[..., LocalCloseApi],
    fork: Callable[..., Connector],
    count: int,
    at_once: int,
    past_max_rows: Any,
    cursor: Any,
) -> None:
    api = make_api(Volumes(users=1))
    api.settings.search_past_max_rows = past_max_rows
    api.settings.search_cursor = cursor
    add_leads(api, count, now() - 30 * DAY, at_once=at_once)
    forbid_after(api, 1_000)
    result = fork(api).read(["leads"])
    assert_complete(result, "leads")
    assert set(result.ids("leads")) == ids(api, "leads")
    assert len(set(result.ids("leads"))) == count
    assert len(result.ids("leads")) <= 1.02 * count
    # Counts find where to split windows. A millisecond with more leads than a chain returns is first read to the end
    # of a chain.
    assert len(api.requests) <= 1.6 * (count + at_once) / PAGE


def test_an_expired_cursor_costs_few_requests(
    make_api: Callable[..., LocalCloseApi], fork: Callable[..., Connector]
) -> None:
    """Most cursors have expired by the next request."""
    api = make_api(Volumes(users=1, leads=3_000))
    api.settings.search_cursor_life = 0.001
    api.settings.latency = 0.005
    forbid_after(api, 1_000)
    start, end = now() - 300 * DAY, now()
    result = fork(api, start_date=text(start)).read(["leads"])
    assert_complete(result, "leads")
    expected = ids(api, "leads", start, end)
    assert set(result.ids("leads")) == expected
    assert result.repeated("leads") == []
    assert sum(entry.status == 400 for entry in api.requests) > 5
    # For each half page: the page, a request with the expired cursor, and a request that counts.
    assert len(api.requests) <= 2 * 3 * len(expected) / PAGE + 10


def test_a_lead_that_the_index_shows_late_is_not_lost(
    make_api: Callable[..., LocalCloseApi], fork: Callable[..., Connector]
) -> None:
    """The next sync emits a lead that the index did not have during the first sync."""
    api = make_api(Volumes(users=1, leads=30))
    store = api.store
    connector = fork(api)
    shown = store.add("lead")["id"]
    api.settings.search_lag = 3_600
    late = store.add("lead")["id"]
    first = connector.read(["leads"])
    assert_complete(first, "leads")
    assert shown in first.ids("leads")
    assert late not in first.ids("leads")
    api.settings.search_lag = 0
    edited = store.edit(shown, description="ß")["id"]
    with store.lock:
        record = store.objects[late]
        store.leads.visible.put(record)
    second = connector.read(["leads"], first.states)
    assert_complete(second, "leads")
    assert {edited, late} <= set(second.ids("leads"))
    assert set(second.ids("leads")) == ids(api, "leads", saved_cursor(first, "leads") - LOOKBACK["leads"], now())
