"""Searches beyond the limit of 10,000 rows per chain of pages."""

from datetime import timedelta
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, MILLISECOND, SECOND, now, text
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
