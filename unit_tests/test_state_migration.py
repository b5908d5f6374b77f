"""The migration of saved states: known forms, damaged states, states in the future, and states that are too old."""

from typing import Any

import pytest
from airbyte_cdk.models import FailureType

from source_close.api.sync import Sync
from source_close.streams.saved_states import CursorStateMigration
from unit_tests.syncs import NOW, Log, Row

WRITTEN = "2024-05-06T07:08:09.010000+00:00"


def migrate(state: Any, position: str = "", sync: Sync | None = None) -> Row:
    sync = sync or Sync(end=NOW, event_log_positions={"leads": position} if position else {})
    migration = CursorStateMigration("leads", {"sync": sync}, "date_updated")
    assert migration.should_migrate(state) is bool(state)
    return dict(migration.migrate(state))


DATE_RANGES = [
    {"start": "2024-05-10T00:00:00Z", "end": "2024-06-01T00:00:00Z", "most_recent_cursor_value": "2024-05-30"},
    {"start": "2024-01-01T00:00:00Z", "end": "2024-05-01T00:00:00Z", "most_recent_cursor_value": WRITTEN},
]
PER_PARTITION = [
    {"partition": {"object_type": "lead"}, "cursor": {"date_updated": "2024-08-01T00:00:00Z"}},
    {"partition": {"object_type": "contact"}, "cursor": {"date_updated": WRITTEN}},
]
FORMS: dict[str, tuple[Row, str | None]] = {
    "empty": ({}, None),
    "own and public connector": ({"date_updated": WRITTEN}, WRITTEN),
    "Z": ({"date_updated": "2024-05-06T07:08:09.010Z"}, WRITTEN),
    "no zone": ({"date_updated": "2024-05-06T07:08:09.010000"}, WRITTEN),
    "offset": ({"date_updated": "2024-05-06T09:08:09.010000+02:00"}, WRITTEN),
    "date": ({"date_updated": "2024-05-06"}, "2024-05-06T00:00:00.000000+00:00"),
    "year 1": ({"date_updated": "0001-01-01T00:00:00+00:00"}, "1900-01-01T00:00:00.000000+00:00"),
    "more fields": ({"date_updated": WRITTEN, "of_another_version": [1], "event_log_position": "x"}, WRITTEN),
    "from 0.1.0": ({"date_updated": WRITTEN, "closed_windows": [["2024-06-01", "2024-07-01"]]}, WRITTEN),
    "date-range": ({"state_type": "date-range", "legacy": {}, "slices": DATE_RANGES}, WRITTEN),
    "date-range without a newest value": ({"slices": [{"start": "2024-01-01T00:00:00Z", "end": WRITTEN}]}, WRITTEN),
    "per partition": (
        {"use_global_cursor": False, "states": PER_PARTITION, "state": {"date_updated": "2024-09-01"}},
        WRITTEN,
    ),
    "global cursor": ({"use_global_cursor": True, "state": {"date_updated": WRITTEN}, "lookback_window": 7}, WRITTEN),
    "of a stream without records": ({"use_global_cursor": True, "lookback_window": 0}, None),
    "before the first record": ({"event_log_position": WRITTEN}, None),
    "no cursor": ({"__ab_no_cursor_state_message": True}, None),
    "full refresh": ({"__ab_full_refresh_sync_complete": True}, None),
}


@pytest.mark.parametrize(("saved", "cursor"), FORMS.values(), ids=FORMS.keys())
def test_a_cursor_is_read_from_every_known_form(saved: Row, cursor: str | None) -> None:
    assert migrate(saved) == ({"date_updated": cursor} if cursor else {})


@pytest.mark.parametrize(
    "saved",
    [
        {"date_updated": "yesterday"},
        {"date_updated": 1714979289},
        {"date_updated": {"value": WRITTEN}},
        {"date_updated": "0001-01-01T00:00:00+05:00"},
        {"date_created": WRITTEN},
        {"cursor": WRITTEN},
        {"state_type": "date-range", "slices": []},
        {"state_type": "date-range", "slices": [{"start": "2024-01-01", "end": "?"}]},
        {"states": [{"partition": {"object_type": "lead"}, "cursor": {"date_updated": "?"}}]},
    ],
    ids=str,
)
def test_the_message_about_a_damaged_state_says_how_to_reset(saved: Row) -> None:
    sync = Sync(end=NOW)
    assert migrate(saved, sync=sync) == {}
    error = sync.unreadable_states["leads"]
    assert error.failure_type == FailureType.config_error
    message = str(error.message)
    assert message.startswith("Stream leads: its saved state can't be read (")
    assert "object" not in message  # no text of Python's
    assert "Clear the stream and sync again: the sync then reads it from the start date." in message


def test_a_state_in_the_future_continues_from_now(log: Log) -> None:
    # A millisecond earlier: without a window, no stream would follow the event log.
    expected = {"date_updated": "2025-06-15T11:59:59.999000+00:00"}
    assert migrate({"date_updated": "2025-06-15T12:00:00.001Z"}) == expected
    [warning] = log.warnings
    assert "2025-06-15 12:00:00.001000+00:00 is in the future. The sync continues from now" in warning


@pytest.mark.parametrize(("reached", "is_lost"), [("2025-05-16T12:00:00Z", False), ("2025-05-16T11:59:59Z", True)])
def test_a_gap_in_the_event_log_logs_a_warning(log: Log, reached: str, *, is_lost: bool) -> None:
    """A stream with a position in the event log can have a gap; an old cursor alone is none."""
    migrate({"date_updated": "2020-01-01"}, reached)
    migrate({"date_updated": "2020-01-01"})
    assert len(log.warnings) == is_lost
    for message in log.warnings:
        assert "2025-05-16T11:59:59.000000+00:00" in message
        assert "Close has events since 2025-05-16T12:00:00.000000+00:00" in message
        assert "Refresh the stream leads" in message
