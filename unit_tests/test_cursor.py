"""The cursor: where a sync begins, what it saves on the way and at the end, and how it goes on."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import Mock

import pytest
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition

from source_close.cursor import ChangesSlice, WindowCursor, WindowSlice
from source_close.state import StreamState
from source_close.windows import Window
from unit_tests.list_api import make_cursor


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def bounds(cursor: WindowCursor) -> list[tuple[datetime, datetime]]:
    return [(window.start, window.end) for window in cursor._waiting]


def take(cursor: WindowCursor) -> WindowSlice:
    window = cursor._take()
    assert window is not None
    return WindowSlice(window)


def partition(window_slice: WindowSlice | ChangesSlice) -> Partition:
    made: Partition = Mock(spec=Partition)
    made.to_slice.return_value = window_slice  # type: ignore[attr-defined]
    return made


def states(cursor: WindowCursor) -> list[dict[str, Any]]:
    """What was saved since the last time."""
    return [
        vars(message.state.stream.stream_state)
        for message in cursor._message_repository.consume_queue()
        if message.state is not None and message.state.stream is not None
    ]


def stamped(*moments: str) -> list[dict[str, Any]]:
    return [{"id": f"acti_{number}", "date_created": moment} for number, moment in enumerate(moments)]


@pytest.mark.parametrize(
    ("saved", "lookback", "start"),
    [
        (None, timedelta(hours=24), "2024-01-01T00:00:00"),
        ("2024-06-01", timedelta(hours=24), "2024-05-31T00:00:00"),
        ("2024-06-01", timedelta(0), "2024-06-01T00:00:00"),
        ("2024-01-01T12:00:00", timedelta(hours=24), "2024-01-01T00:00:00"),
        ("2024-01-01T00:00:00", timedelta(hours=24), "2024-01-01T00:00:00"),
        ("2023-07-01T00:00:00", timedelta(hours=24), "2023-07-01T00:00:00"),
        ("0001-01-01T00:00:00", timedelta(hours=24), "0001-01-01T00:00:00"),
    ],
    ids=[
        "first sync: the lookback does not apply",
        "lookback",
        "no lookback",
        "lookback clipped to the start",
        "cursor at the start",
        "cursor before the start",
        "cursor at the first moment there is",
    ],
)
def test_where_a_sync_begins(saved: str | None, lookback: timedelta, start: str) -> None:
    cursor = make_cursor(
        start=day("2024-01-01"),
        end=day("2025-01-01"),
        lookback=lookback,
        saved=StreamState(day(saved) if saved else None),
    )
    assert bounds(cursor) == [(day(start), day("2025-01-01"))]
    assert cursor.is_first_sync is (saved is None)


def test_a_start_after_the_end_reads_nothing_and_saves_a_state() -> None:
    cursor = make_cursor(start=day("2025-06-01"), end=day("2025-01-01"))
    assert list(cursor.stream_slices()) == []


def test_each_partition_gets_a_window() -> None:
    cursor = make_cursor(partitions=[{"object_type": "lead"}, {"object_type": "contact"}])
    assert [window.partition for window in cursor._waiting] == [{"object_type": "lead"}, {"object_type": "contact"}]
    assert len(set(bounds(cursor))) == 1


def test_a_state_in_the_future_is_warned_of_and_reading_goes_on_from_now(caplog: pytest.LogCaptureFixture) -> None:
    cursor = make_cursor(
        end=day("2025-01-01"), lookback=timedelta(hours=24), saved=StreamState(day("2031-01-01T00:00:00"))
    )
    assert bounds(cursor) == [(day("2024-12-31"), day("2025-01-01"))]
    assert cursor.state == {"date_created": "2025-01-01T00:00:00.000000+00:00"}
    assert [record.getMessage() for record in caplog.records] == [
        (
            "Stream activities: the saved state 2031-01-01T00:00:00.000000+00:00 lies in the future. Reading goes on "
            "from now; if records are missing, reset (clear) the stream."
        )
    ]


@pytest.mark.parametrize(
    ("saved", "start", "warns"),
    [
        (None, "2024-12-02", False),
        ("2024-12-20", "2024-12-19T23:55:00", False),
        ("2024-12-02T00:00:00", "2024-12-02", False),
        ("2024-12-01T23:59:59", "2024-12-02", True),
        ("2024-10-01", "2024-12-02", True),
    ],
    ids=["first sync", "recent", "at the edge", "a second too old", "two months"],
)
def test_nothing_older_than_the_retention_is_asked_for_and_a_gap_is_named(
    saved: str | None, start: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cursor = make_cursor(
        start=day("2024-01-01"),
        end=day("2025-01-01"),
        lookback=timedelta(minutes=5),
        retention=timedelta(days=30),
        saved=StreamState(day(saved) if saved else None),
    )
    assert bounds(cursor) == [(day(start), day("2025-01-01"))]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == warns
    if warns and saved is not None:
        assert "30 days" in warnings[0]
        assert day(saved).isoformat(timespec="microseconds") in warnings[0]
        assert "2024-12-02T00:00:00.000000+00:00" in warnings[0]


def test_the_state_is_saved_when_a_window_closes_and_follows_the_newest_record() -> None:
    cursor = make_cursor(start=day("2024-01-01"), end=day("2025-01-01"))
    reading = take(cursor)
    cursor.saw(stamped("2024-03-01T00:00:00", "2024-05-06T07:08:09.010000+00:00", "2024-02-01T00:00:00Z"))
    assert cursor.state == {"date_created": "2024-01-01T00:00:00.000000+00:00"}
    cursor.close_partition(partition(reading))
    assert states(cursor) == [{"date_created": "2024-05-06T07:08:09.010000+00:00"}]


def test_a_stream_without_records_keeps_its_cursor() -> None:
    cursor = make_cursor(end=day("2025-01-01"), lookback=timedelta(days=1), saved=StreamState(day("2024-06-01")))
    cursor.close_partition(partition(take(cursor)))
    cursor.ensure_at_least_one_state_emitted()
    assert states(cursor) == [{"date_created": "2024-06-01T00:00:00.000000+00:00"}] * 2


def test_records_of_the_lookback_do_not_move_the_cursor_back() -> None:
    cursor = make_cursor(end=day("2025-01-01"), lookback=timedelta(days=1), saved=StreamState(day("2024-06-01")))
    reading = take(cursor)
    cursor.saw(stamped("2024-05-31T12:00:00"))
    cursor.close_partition(partition(reading))
    assert states(cursor) == [{"date_created": "2024-06-01T00:00:00.000000+00:00"}]


def test_a_record_of_the_future_never_carries_the_cursor_past_the_end_of_the_sync() -> None:
    cursor = make_cursor(end=day("2025-01-01"))
    reading = take(cursor)
    cursor.saw(stamped("2031-01-01T00:00:00"))
    cursor.close_partition(partition(reading))
    assert states(cursor) == [{"date_created": "2025-01-01T00:00:00.000000+00:00"}]


def test_closed_windows_are_saved_beside_the_cursor_until_what_lies_before_them_is_closed() -> None:
    cursor = make_cursor(start=day("2024-01-01"), end=day("2025-01-01"))
    newest = take(cursor)
    cursor.split(
        newest,
        Window(day("2024-09-01"), day("2025-01-01")),
        Window(day("2024-05-01"), day("2024-09-01")),
        Window(day("2024-01-01"), day("2024-05-01")),
    )
    middle, oldest = take(cursor), take(cursor)
    cursor.saw(stamped("2024-12-24T00:00:00", "2024-06-01T00:00:00", "2024-04-30T00:00:00"))
    cursor.close_partition(partition(newest))
    assert states(cursor) == [
        {
            "date_created": "2024-01-01T00:00:00.000000+00:00",
            "closed_windows": [["2024-09-01T00:00:00.000000+00:00", "2024-12-24T00:00:00.000000+00:00"]],
        }
    ]
    cursor.close_partition(partition(oldest))
    assert states(cursor) == [
        {
            "date_created": "2024-05-01T00:00:00.000000+00:00",
            "closed_windows": [["2024-09-01T00:00:00.000000+00:00", "2024-12-24T00:00:00.000000+00:00"]],
        }
    ]
    cursor.close_partition(partition(middle))
    assert states(cursor) == [{"date_created": "2024-12-24T00:00:00.000000+00:00"}]


def test_a_split_window_stays_open_until_every_part_of_it_is_closed() -> None:
    cursor = make_cursor(start=day("2024-01-01"), end=day("2025-01-01"))
    slices = iter(cursor.stream_slices())
    older = next(slices)
    assert isinstance(older, WindowSlice)
    cursor.split(older, Window(day("2024-01-01"), day("2024-07-01")), Window(day("2024-07-01"), day("2025-01-01")))
    assert (older.window.start, older.window.end) == (day("2024-01-01"), day("2024-07-01"))
    newer = next(slices)
    assert isinstance(newer, WindowSlice)
    assert (newer.window.start, newer.window.end) == (day("2024-07-01"), day("2025-01-01"))
    cursor.saw(stamped("2024-08-01T00:00:00"))
    cursor.close_partition(partition(older))
    assert states(cursor) == [{"date_created": "2024-07-01T00:00:00.000000+00:00"}]
    cursor.close_partition(partition(newer))
    assert states(cursor) == [{"date_created": "2024-08-01T00:00:00.000000+00:00"}]
    assert list(slices) == []


def test_the_hand_out_waits_while_a_reader_may_still_split_its_window() -> None:
    cursor = make_cursor(start=day("2024-01-01"), end=day("2025-01-01"))
    first = take(cursor)
    handed: list[Window | None] = []
    waiting = threading.Thread(target=lambda: handed.append(cursor._take()))
    waiting.start()
    assert handed == []
    other = Window(day("2024-07-01"), day("2025-01-01"))
    cursor.split(first, Window(day("2024-01-01"), day("2024-07-01")), other)
    waiting.join(5)
    assert handed == [other]


def test_the_next_sync_reads_what_an_interrupted_one_left_and_its_lookback_at_both_ends() -> None:
    cursor = make_cursor(
        start=day("2024-01-01"),
        end=day("2025-01-01"),
        lookback=timedelta(minutes=10),
        saved=StreamState(
            day("2024-02-01"),
            ((day("2024-03-01"), day("2024-04-01")), (day("2024-09-01"), day("2024-12-24"))),
        ),
    )
    assert bounds(cursor) == [
        (day("2024-01-31T23:50:00"), day("2024-03-01")),
        (day("2024-04-01"), day("2024-09-01")),
        (day("2024-12-23T23:50:00"), day("2025-01-01")),
    ]


def test_a_closed_window_shorter_than_the_lookback_is_read_again() -> None:
    cursor = make_cursor(
        start=day("2024-01-01"),
        end=day("2025-01-01"),
        lookback=timedelta(days=1),
        saved=StreamState(day("2024-02-01"), ((day("2024-03-01"), day("2024-03-01T12:00:00")),)),
    )
    assert bounds(cursor) == [(day("2024-01-31"), day("2025-01-01"))]


def test_resumed_windows_are_saved_again_until_all_is_closed() -> None:
    saved = StreamState(day("2024-02-01"), ((day("2024-03-01"), day("2024-04-01")),))
    cursor = make_cursor(start=day("2024-01-01"), end=day("2025-01-01"), saved=saved)
    take(cursor)
    newer = take(cursor)
    cursor.saw(stamped("2024-11-11T00:00:00"))
    cursor.close_partition(partition(newer))
    assert states(cursor) == [
        {
            "date_created": "2024-02-01T00:00:00.000000+00:00",
            "closed_windows": [["2024-03-01T00:00:00.000000+00:00", "2024-11-11T00:00:00.000000+00:00"]],
        }
    ]


@pytest.mark.parametrize(
    "broken",
    [None, "", "soon", 1714979289, {"at": "2024"}, "0001-01-01T00:00:00+05:00", ...],
    ids=["null", "empty", "text", "number", "object", "out of range", "missing"],
)
def test_a_broken_stamp_is_counted_warned_of_once_and_moves_nothing(
    broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cursor = make_cursor(start=day("2024-01-01"), end=day("2025-01-01"))
    reading = take(cursor)
    row = {"id": "acti_1"} if broken is ... else {"id": "acti_1", "date_created": broken}
    cursor.saw([row, *stamped("2024-05-01T00:00:00")])
    cursor.saw([row, row])
    assert [record.getMessage() for record in caplog.records] == [
        (
            "Stream activities: a record came without a readable date_created. It is emitted all the same; it does "
            "not move the saved cursor."
        )
    ]
    cursor.close_partition(partition(reading))
    cursor.ensure_at_least_one_state_emitted()
    assert caplog.records[-1].getMessage() == "Stream activities: 3 records came without a readable date_created."
    assert states(cursor)[-1] == {"date_created": "2024-05-01T00:00:00.000000+00:00"}


def test_after_a_failure_no_window_is_handed_out_and_open_ones_stay_open() -> None:
    cursor = make_cursor(start=day("2024-01-01"), end=day("2025-01-01"))
    slices = iter(cursor.stream_slices())
    newer = next(slices)
    assert isinstance(newer, WindowSlice)
    cursor.split(newer, Window(day("2024-07-01"), day("2025-01-01")), Window(day("2024-01-01"), day("2024-07-01")))
    assert cursor.fail(ValueError("first")) is True
    assert cursor.fail(ValueError("second")) is False
    assert cursor.has_failed
    assert list(slices) == []
    cursor.saw(stamped("2024-08-01T00:00:00"))
    cursor.close_partition(partition(newer))
    cursor.ensure_at_least_one_state_emitted()
    assert states(cursor)[-1] == {
        "date_created": "2024-01-01T00:00:00.000000+00:00",
        "closed_windows": [["2024-07-01T00:00:00.000000+00:00", "2024-08-01T00:00:00.000000+00:00"]],
    }


def test_a_failure_wakes_whoever_waits_for_a_window() -> None:
    cursor = make_cursor()
    take(cursor)
    handed: list[Window | None] = []
    waiting = threading.Thread(target=lambda: handed.append(cursor._take()))
    waiting.start()
    cursor.fail(ValueError())
    waiting.join(5)
    assert handed == [None]


def test_an_abandoned_window_is_not_closed() -> None:
    cursor = make_cursor(start=day("2024-01-01"), end=day("2025-01-01"))
    reading = take(cursor)
    cursor.saw(stamped("2024-08-01T00:00:00"))
    reading.is_abandoned = True
    cursor.close_partition(partition(reading))
    cursor.ensure_at_least_one_state_emitted()
    assert states(cursor) == [{"date_created": "2024-01-01T00:00:00.000000+00:00"}]
