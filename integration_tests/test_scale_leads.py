"""Searches beyond the limits: 10,000 rows per chain of pages, and an index that is not sorted by the newest dates."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from integration_tests.close_api import Fault, LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, MILLISECOND, SECOND, now, text
from integration_tests.harness.truth import forbid_after, ids, saved_cursor

# A tenth of a page, and a hundredth of a chain of pages.
SMALL = {"page_size": {200: 20}, "rows_per_chain": {10_000: 100}}


@pytest.fixture
def small(make_api: MakeApi) -> LocalCloseApi:
    """Return an API whose chains of pages end after a hundred rows."""
    api = make_api(Volumes(users=1))
    api.settings.search_max_rows = 100
    forbid_after(api, 1_000)
    return api


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
