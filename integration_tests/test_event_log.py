"""The stream event_log: windows of a day, cursors that lead past their bounds, and events that come late."""

from typing import Literal

import orjson
import pytest

from integration_tests.close_api import Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, HOUR, MILLISECOND, SECOND, moment, now, text
from integration_tests.harness.truth import LOOKBACK, clock_at, ids, requests_of, saved_cursor

OVERLAP = LOOKBACK["event_log"]


@pytest.mark.parametrize(("precision", "keeps_bounds"), [("second", True), ("millisecond", False)])
def test_an_event_near_the_bound_of_two_windows_is_emitted_once(
    make_api: MakeApi, fork: Fork, precision: Literal["second", "millisecond"], *, keeps_bounds: bool
) -> None:
    """Windows begin with whole seconds, as the API's filter may truncate bounds, and a cursor may ignore them."""
    api = make_api(Volumes(users=1))
    api.settings.filter_precision = precision
    api.settings.event_cursor_keeps_bounds = keeps_bounds
    start = now().replace(microsecond=500_000) - 10 * DAY
    for days in (1, 2, 5):
        for step in (-700, -501, -500, -499, -1, 0, 1, 200):
            # The log stamps an event three milliseconds after the change.
            with clock_at(api, start + days * DAY + (step - 3) * MILLISECOND):
                api.store.add("Note", lead_id=None)
    result = fork(api, sizes={"page_size": {50: 3}}, start_date=text(start)).sync(["event_log"])
    assert set(result.ids("event_log")) == ids(api, "event_log")
    assert len(result.ids("event_log")) == 24


def test_the_read_is_complete_if_a_cursor_leads_past_the_bounds_and_refuses_a_date_filter(
    make_api: MakeApi, fork: Fork
) -> None:
    """The read stops at the lower bound. A key that is not an admin's gets the data of young events only."""
    began = now()
    api = make_api(Volumes(leads=20, tasks=20, activities=60, events=900), start=began - 5 * DAY, end=began)
    api.settings.event_date_filter_with_cursor = "reject"
    api.settings.event_cursor_keeps_bounds = False
    api.settings.admin = False
    young = api.store.add("Note", lead_id=None)
    start = began - 4 * DAY
    expected = ids(api, "event_log", start)
    result = fork(api, start_date=text(start)).sync(["event_log"])
    assert result.repeated("event_log") == []
    assert set(result.ids("event_log")) == expected
    assert len(expected) > 500
    pages = requests_of(api, "/event/")
    assert all(int(page["_limit"]) <= 50 for page in pages)
    assert sum("_cursor" in page for page in pages) > 4
    # Each day adds at most one page to those that the events fill, because a window ends within a page.
    days = (now() - start).days + 1
    assert len(pages) <= len(expected) / 50 + days
    for event in result.records("event_log"):
        is_old = moment(event["date_updated"]) < began - HOUR
        if event["object_id"] == young["id"]:
            assert orjson.loads(event["data"])["id"] == young["id"]
        elif is_old:
            assert event.get("data") is None
            assert event.get("previous_data") is None


def test_the_next_sync_emits_late_reordered_and_consolidated_events(make_api: MakeApi, fork: Fork) -> None:
    """The newest five minutes are read again; a consolidated event is emitted again with its new timestamp."""
    api = make_api(Volumes(users=1, activities=14))
    note = api.store.collections["activity/note"].records
    note_id = next(iter(note))
    with clock_at(api, now() - HOUR):
        api.store.edit(note_id, note="first")
    with clock_at(api, now() - SECOND):
        api.store.edit(note_id, title="second")
    before = ids(api, "event_log")
    connector = fork(api)
    first = connector.sync(["event_log"])
    assert set(first.ids("event_log")) == before
    cursor = saved_cursor(first, "event_log")
    start = cursor.replace(microsecond=0) - OVERLAP
    # The log stamps an event three milliseconds after the change.
    stamps = [start + step * MILLISECOND - 3 * MILLISECOND for step in (-1, 0, 1)]
    late = []
    for stamp in stamps:
        with clock_at(api, stamp):
            late.append(api.store.add("Note", lead_id=None)["id"])
    folded = api.store.edit(note_id, title="third")
    second = connector.sync(["event_log"], first.states)
    assert second.repeated("event_log") == []
    assert set(second.ids("event_log")) == ids(api, "event_log", start, now())
    events = {event["object_id"]: event for event in second.records("event_log")}
    assert late[0] not in events
    assert {late[1], late[2]} <= events.keys()
    assert events[note_id]["id"] in before
    assert orjson.loads(events[note_id]["data"])["title"] == folded["title"]
    assert moment(events[note_id]["date_updated"]) > cursor
