"""Saved state: the forms that are understood, and what a damaged one says."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_close.state import StreamState, load_state


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc, arg-type]


MOMENT = utc(2024, 5, 6, 7, 8, 9, 10_000)
WRITTEN = "2024-05-06T07:08:09.010000+00:00"


@pytest.mark.parametrize(
    ("saved", "cursor"),
    [
        ({}, None),
        ({"date_updated": None}, None),
        ({"date_updated": WRITTEN}, MOMENT),
        ({"date_updated": "2024-05-06T07:08:09.010Z"}, MOMENT),
        ({"date_updated": "2024-05-06T07:08:09.010000"}, MOMENT),
        ({"date_updated": "2024-05-06T09:08:09.010000+02:00"}, MOMENT),
        ({"date_updated": "2024-05-06"}, utc(2024, 5, 6)),
        ({"date_updated": WRITTEN, "field_of_another_version": [1]}, MOMENT),
        (
            {
                "state_type": "date-range",
                "legacy": {},
                "slices": [
                    {
                        "start": "2024-05-10T00:00:00Z",
                        "end": "2024-06-01T00:00:00Z",
                        "most_recent_cursor_value": "2024-05-30T00:00:00Z",
                    },
                    {
                        "start": "2024-01-01T00:00:00Z",
                        "end": "2024-05-01T00:00:00Z",
                        "most_recent_cursor_value": WRITTEN,
                    },
                ],
            },
            MOMENT,
        ),
        ({"state_type": "date-range", "slices": [{"start": "2024-01-01T00:00:00Z", "end": WRITTEN}]}, MOMENT),
        (
            {
                "use_global_cursor": False,
                "states": [
                    {"partition": {"object_type": "lead"}, "cursor": {"date_updated": "2024-08-01T00:00:00Z"}},
                    {"partition": {"object_type": "contact"}, "cursor": {"date_updated": WRITTEN}},
                ],
                "state": {"date_updated": "2024-09-01T00:00:00Z"},
            },
            MOMENT,
        ),
        ({"use_global_cursor": True, "state": {"date_updated": WRITTEN}}, MOMENT),
        ({"__ab_no_cursor_state_message": True}, None),
        ({"__ab_full_refresh_sync_complete": True}, None),
    ],
    ids=[
        "empty",
        "null",
        "own, and the public connector's",
        "Z",
        "no zone",
        "offset",
        "date",
        "more fields",
        "date-range",
        "date-range without a newest value",
        "per partition",
        "global cursor",
        "no cursor",
        "full refresh",
    ],
)
def test_a_cursor_is_read_from_every_known_form(saved: dict[str, Any], cursor: datetime | None) -> None:
    assert load_state("leads", "date_updated", saved) == StreamState(cursor)


def test_closed_windows_are_read_in_order() -> None:
    saved = {
        "date_updated": "2024-01-01T00:00:00Z",
        "closed_windows": [
            ["2024-06-01T00:00:00Z", "2024-07-01T00:00:00Z"],
            ["2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"],
        ],
    }
    assert load_state("leads", "date_updated", saved).closed_windows == (
        (utc(2024, 3, 1), utc(2024, 4, 1)),
        (utc(2024, 6, 1), utc(2024, 7, 1)),
    )


@pytest.mark.parametrize(
    "saved",
    [
        {"date_updated": "yesterday"},
        {"date_updated": ""},
        {"date_updated": 1714979289},
        {"date_updated": {"value": WRITTEN}},
        {"date_updated": "0001-01-01T00:00:00+05:00"},
        {"date_created": WRITTEN},
        {"cursor": WRITTEN},
        {"date_updated": WRITTEN, "closed_windows": "2024"},
        {"date_updated": WRITTEN, "closed_windows": [["2024-01-01T00:00:00Z"]]},
        {"date_updated": WRITTEN, "closed_windows": [["2024-01-01T00:00:00Z", "?"]]},
        {"date_updated": WRITTEN, "closed_windows": [1]},
        {"date_updated": WRITTEN, "closed_windows": 1},
        {"date_updated": WRITTEN, "event_log_position": "?"},
        {"date_updated": WRITTEN, "event_log_position": 5},
        {"state_type": "date-range", "slices": []},
        {"state_type": "date-range"},
        {"state_type": "date-range", "slices": [{"start": "?", "end": WRITTEN}]},
        {"states": [{"partition": {}, "cursor": {}}]},
        {"states": [], "state": {}},
        {"use_global_cursor": True},
        {"states": [1]},
    ],
    ids=str,
)
def test_a_damaged_state_says_how_to_reset(saved: dict[str, Any]) -> None:
    with pytest.raises(AirbyteTracedException) as error:
        load_state("leads", "date_updated", saved)
    assert error.value.failure_type == FailureType.config_error
    message = str(error.value.message)
    assert message.startswith("The saved state of stream leads can't be read (")
    assert "Reset (clear) the stream leads and sync again: it is then read from its start date." in message


@pytest.mark.parametrize(
    ("state", "dumped"),
    [
        (StreamState(), {}),
        (StreamState(MOMENT), {"date_updated": WRITTEN}),
        (
            StreamState(MOMENT, ((utc(2024, 6, 1), utc(2024, 7, 1)),), utc(2024, 8, 1)),
            {
                "date_updated": WRITTEN,
                "closed_windows": [["2024-06-01T00:00:00.000000+00:00", "2024-07-01T00:00:00.000000+00:00"]],
                "event_log_position": "2024-08-01T00:00:00.000000+00:00",
            },
        ),
    ],
    ids=["nothing", "cursor", "everything"],
)
def test_what_is_saved_reads_back_the_same(state: StreamState, dumped: dict[str, Any]) -> None:
    assert state.dump("date_updated") == dumped
    assert load_state("leads", "date_updated", dumped) == state
