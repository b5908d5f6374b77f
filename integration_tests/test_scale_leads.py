"""Searches beyond the limits: 10,000 rows per chain of pages, and an index that lags."""

from collections import Counter
from datetime import timedelta
from typing import Any

import orjson
import pytest

from integration_tests.close_api import Fault, LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, MILLISECOND, SECOND, now, text
from integration_tests.harness.truth import LOOKBACK, forbid_after, ids, records, saved_cursor

PAGE, ROWS_PER_CHAIN = 200, 10_000
# A tenth of a page, and a hundredth of a chain of pages.
SMALL_PAGE, SMALL_CHAIN = 20, 100
SMALL = {"page_size": {PAGE: SMALL_PAGE}, "rows_per_chain": {ROWS_PER_CHAIN: SMALL_CHAIN}}


@pytest.fixture
def small(make_api: MakeApi) -> LocalCloseApi:
    """Return an API whose chains of pages end after a hundred rows."""
    api = make_api(Volumes(users=1))
    api.settings.search_max_rows = SMALL_CHAIN
    forbid_after(api, 1_000)
    return api


def test_a_day_with_more_leads_than_a_chain_returns_is_read_completely(make_api: MakeApi, fork: Fork) -> None:
    """The other kinds of cursors and ends of a chain have small chains below."""
    count, page, rows_per_chain = 220, 4, 200
    api = make_api(Volumes(users=1))
    api.settings.search_max_rows = rows_per_chain
    api.settings.search_past_max_rows = "reject"
    api.settings.search_cursor = "after"
    day = now() - 30 * DAY
    api.store.load_many("lead", count, day, day + DAY)
    forbid_after(api, 1_000)
    sizes = {"page_size": {PAGE: page}, "rows_per_chain": {ROWS_PER_CHAIN: rows_per_chain}}
    result = fork(api, sizes=sizes).sync(["leads"])
    assert set(result.ids("leads")) == ids(api, "leads")
    assert len(set(result.ids("leads"))) == count
    assert len(result.ids("leads")) <= 1.02 * count
    # Pages share a row. There are 13 windows. Custom values cost a request by ids and four for their definitions. The
    # leads of the most frequent moment, the end of the day, need more than a page, so they are read a second time.
    [(_, of_one_moment)] = Counter(record.updated for record in records(api, "leads")).most_common(1)
    assert len(api.requests) <= count / (page - 1) + 13 + 5 + of_one_moment / page


# Every pair of a period, an end of a chain and a kind of cursors.
@pytest.mark.parametrize(
    ("period", "past_max_rows", "cursor"),
    [
        (DAY, "null", "snapshot"),
        (DAY, "reject", "after"),
        (DAY, "reject", "offset"),
        (SECOND, "null", "after"),
        (SECOND, "reject", "snapshot"),
        (SECOND, "null", "offset"),
    ],
    ids=str,
)
def test_any_number_of_leads_around_the_length_of_a_chain_is_read_completely(
    small: LocalCloseApi, fork: Fork, period: timedelta, past_max_rows: Any, cursor: Any
) -> None:
    """If all leads are in one second, several share each millisecond."""
    small.settings.search_past_max_rows = past_max_rows
    small.settings.search_cursor = cursor
    for number, count in enumerate((99, 100, 101, 320)):
        start = now() - (number + 2) * 30 * DAY
        for lead in range(count):
            small.store.load_many("lead", 1, start + period * lead / count)
    result = fork(small, sizes=SMALL, start_date=text(now() - 160 * DAY)).sync(["leads"])
    assert set(result.ids("leads")) == ids(small, "leads")


def test_more_leads_in_a_millisecond_than_a_chain_returns_fail_the_stream(small: LocalCloseApi, fork: Fork) -> None:
    at = (now() - 5 * DAY).replace(microsecond=250_000)
    small.store.load_many("lead", 150, at - 9 * DAY, at, date_updated=text(at))
    small.store.load_many("lead", 30, at + MILLISECOND, at + DAY)
    result = fork(small, sizes=SMALL).read(["leads", "users"])
    assert result.exit_code == 1
    [error] = result.errors
    assert error["message"].startswith("Stream leads: ")
    assert text(at)[:23] in error["message"]
    assert (result.status("leads"), result.status("users")) == ("INCOMPLETE", "COMPLETE")
    assert saved_cursor(result, "leads") <= at


@pytest.mark.parametrize("which", ["some", "all of a page", "all of a chain"])
@pytest.mark.parametrize("age", [timedelta(), HOUR], ids=["just now", "an hour ago"])
def test_leads_that_are_newer_than_in_the_index_cause_no_gap(
    small: LocalCloseApi, fork: Fork, which: str, age: timedelta
) -> None:
    """A search sorts by its index, and returns the leads as they are by now. During an incident it is hours behind."""
    start = now() - 5 * DAY
    in_order = [small.store.load_many("lead", 1, start + number * SECOND)[0] for number in range(450)]
    which_ones = {"some": in_order[95:105:3], "all of a page": in_order[80:120], "all of a chain": in_order[:240]}
    newer = set(which_ones[which])

    def edit(body: bytes) -> bytes:
        response = orjson.loads(body)
        for row in response.get("data", ()):
            if row["id"] in newer:
                row["date_updated"] = text(now() - age)
        return orjson.dumps(response)

    small.faults.add(Fault("edit", "/data/search/", edit=edit))
    result = fork(small, sizes=SMALL, start_date=text(start - DAY)).sync(["leads"])
    assert set(result.ids("leads")) == set(in_order)


@pytest.mark.parametrize("cursor", ["snapshot", "after", "offset"])
def test_leads_that_are_edited_while_others_are_read_hide_none(small: LocalCloseApi, fork: Fork, cursor: Any) -> None:
    """An edit takes a lead that was read out of the search, so all others move to an earlier position."""
    small.settings.search_cursor = cursor
    start = now() - 5 * DAY
    in_order = [small.store.load_many("lead", 1, start + number * SECOND)[0] for number in range(330)]

    def edit_the_next(number: int) -> None:
        if number > 1:
            small.store.edit(in_order[number - 2])

    small.store.on_request(edit_the_next)
    result = fork(small, sizes=SMALL, start_date=text(start - DAY)).sync(["leads"])
    assert sorted(result.ids("leads")) == sorted(in_order)


def test_a_lead_that_the_index_shows_late_is_not_lost(make_api: MakeApi, fork: Fork) -> None:
    """The next sync emits a lead that the index did not have during the first sync."""
    api = make_api(Volumes(users=1, leads=30))
    store = api.store
    connector = fork(api)
    shown = store.add("lead")["id"]
    api.settings.search_lag = 3_600
    late = store.add("lead")["id"]
    first = connector.sync(["leads"])
    assert shown in first.ids("leads")
    assert late not in first.ids("leads")
    api.settings.search_lag = 0
    edited = store.edit(shown, description="ß")["id"]
    with store.lock:
        record = store.objects[late]
        store.leads.visible.put(record)
    second = connector.sync(["leads"], first.states)
    assert {edited, late} <= set(second.ids("leads"))
    assert set(second.ids("leads")) == ids(api, "leads", saved_cursor(first, "leads") - LOOKBACK["leads"], now())
