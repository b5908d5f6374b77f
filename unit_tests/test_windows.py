"""The windows of a stream: its changes come when all windows are closed."""

import threading
from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import time_machine
from airbyte_cdk import Record, StreamSlice

from source_close.api.errors import CloseApiError
from source_close.api.sync import Sync
from source_close.dates import parse_moment
from source_close.streams.turns import StreamInTurn
from source_close.streams.windows import WindowCursor, WindowRetriever
from unit_tests.syncs import NOW, Row

MIDDLE = "2025-06-01T00:00:00.000000+00:00"
FIRST = StreamSlice(partition={}, cursor_slice={"start_time": "2025-05-01T00:00:00.000000+00:00", "end_time": MIDDLE})
LAST = StreamSlice(partition={}, cursor_slice={"start_time": MIDDLE, "end_time": NOW})


class Selector:
    """Makes a record of each row."""

    def filter_and_transform(self, page: list[Row], _: Any, __: Any, window: StreamSlice) -> Iterator[Record]:
        return (Record(row, "tasks", window) for row in page)


class Changes:
    """Reports that each record that a window has emitted was deleted."""

    def read_pages(self, emitted: dict[str, str]) -> Iterator[list[Row]]:
        yield [{"id": f"deletion of {one}"} for one in sorted(emitted)]


class Retriever(WindowRetriever):
    """Reads a row of two pages from each window; the first window may fail after its first page."""

    fails = False

    def read_window(self, start: datetime, end: datetime) -> Iterator[tuple[list[Row], datetime]]:
        name = f"{start:%m}"
        yield [{"id": f"{name} a"}], end
        if self.fails and name == "05":
            raise CloseApiError("tasks", "It is over.")
        yield [{"id": f"{name} b"}], end


class Refresh(Retriever):
    """A full refresh that notes its windows, in which it finds one list of ids after the other."""

    def __init__(self, name: str, cursor_field: str, found: list[list[str]]) -> None:
        config = {"sync": Sync(end=NOW, full_refreshes=[name])}
        super().__init__(name, cursor_field, config, cast("Any", Selector()))
        self.windows: list[tuple[datetime, datetime]] = []
        self._found = iter(found)

    def read_window(self, start: datetime, end: datetime) -> Iterator[tuple[list[Row], datetime]]:
        self.windows.append((start, end))
        yield [{"id": one} for one in next(self._found)], end


def ids_of(retriever: Retriever, window: StreamSlice) -> list[str]:
    return [record["id"] for record in retriever.read_records({}, window)]


@pytest.fixture
def retriever() -> Retriever:
    sync = Sync(end=NOW)
    sync.event_log_positions["tasks"] = MIDDLE
    return Retriever("tasks", "date_updated", {"sync": sync}, cast("Any", Selector()), cast("Any", Changes()))


@pytest.mark.parametrize(
    ("fails", "rows"), [(False, ["05 a", "05 b", "06 a", "06 b"]), (True, ["05 a", "06 a", "06 b"])]
)
def test_changes_wait_for_the_windows_that_are_still_open(retriever: Retriever, fails: bool, rows: list[str]) -> None:
    """Else a deletion could be emitted before its record. A window that fails does not stop those that wait."""
    retriever.fails = fails
    emitted: list[str] = []
    first = iter(retriever.read_records({}, FIRST))
    emitted.append(next(first)["id"])

    def read_last() -> None:
        emitted.extend(record["id"] for record in retriever.read_records({}, LAST))

    thread = threading.Thread(target=read_last, daemon=True)
    thread.start()
    thread.join(0.2)
    assert "deletion of 05 a" not in emitted
    if fails:
        with pytest.raises(CloseApiError):
            next(first)
    else:
        emitted += [record["id"] for record in first]
    thread.join(10)
    assert not thread.is_alive()
    assert sorted(emitted[: len(rows)]) == rows
    assert emitted[len(rows) :] == [f"deletion of {row}" for row in rows]


def test_a_full_refresh_reads_the_last_ten_minutes_again_and_emits_each_record_once() -> None:
    """An edit may move a record to a later window, or be shown late, after the last window was read."""
    refresh = Refresh("tasks", "date_updated", [["a"], ["a", "b"], ["a", "b", "shown late"]])
    with time_machine.travel(NOW, tick=False):
        assert ids_of(refresh, FIRST) == ["a"]
        assert ids_of(refresh, LAST) == ["b", "shown late"]
    assert refresh.windows[1:] == [
        (parse_moment(MIDDLE), parse_moment(NOW)),
        (parse_moment("2025-06-15T11:50:00Z"), parse_moment("2025-06-16T12:00:00Z")),
    ]


def test_a_full_refresh_of_records_that_edits_do_not_move_reads_each_window_once() -> None:
    refresh = Refresh("activities", "date_created", [["a"], ["a"]])
    assert ids_of(refresh, LAST) == ["a"]
    assert refresh.windows == [(parse_moment(MIDDLE), parse_moment(NOW))]


def test_an_edit_into_a_later_window_emits_a_row_twice(retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination that deduplicates keeps the newer one."""
    monkeypatch.setattr(retriever, "read_window", lambda start, end: [([{"id": "a"}], end)])
    assert ids_of(retriever, FIRST) == ["a"]
    assert ids_of(retriever, LAST) == ["a", "deletion of a"]


def test_only_the_last_window_is_followed_by_changes(retriever: Retriever) -> None:
    assert ids_of(retriever, FIRST) == ["05 a", "05 b"]


class Cursor:
    """Notes the dates of the records that it observes, and the ends of the windows that are closed."""

    name = "the CDK's cursor"

    def __init__(self) -> None:
        self.notes: list[str | None] = []

    def observe(self, record: Record) -> None:
        self.notes.append(record.data.get("date_updated"))

    def close_partition(self, partition: Any) -> None:
        self.notes.append(f"end of {partition.to_slice()['end_time']}")


def cursor_around(stock_cursor: Cursor) -> WindowCursor:
    stream = SimpleNamespace(name="tasks", cursor=stock_cursor, cursor_field="date_updated")
    return StreamInTurn(cast("Any", stream), newest_last=False).cursor


def close(cursor: WindowCursor, window: StreamSlice) -> None:
    cursor.close_partition(cast("Any", SimpleNamespace(to_slice=lambda: window)))


def test_the_cursor_of_the_cdk_observes_only_the_newest_record_of_each_window_when_it_is_complete() -> None:
    """It parses each date, and a record that is not the newest of its window moves no state."""
    stock_cursor = Cursor()
    cursor = cursor_around(stock_cursor)
    dates = ["2025-05-03T00:00:00+00:00", "2025-05-04T00:00:00.500000+00:00", "2025-05-02T00:00:00+00:00"]
    # The last one is of no window: the first window ends before it.
    for date in [*dates, "2025-06-01T00:00:00.001000+00:00"]:
        cursor.observe(Record({"date_updated": date}, "tasks", FIRST))
    cursor.observe(Record({"date_updated": "2025-06-02T00:00:00+00:00"}, "tasks", LAST))
    assert stock_cursor.notes == []
    # The CDK warns of what is no date.
    for odd_date in [None, "yesterday"]:
        cursor.observe(Record({"date_updated": odd_date}, "tasks", LAST))
    assert stock_cursor.notes == [None, "yesterday"]
    close(cursor, LAST)
    assert stock_cursor.notes[2:] == ["2025-06-02T00:00:00+00:00", f"end of {NOW}"]
    close(cursor, FIRST)
    assert stock_cursor.notes[4:] == ["2025-05-04T00:00:00.500000+00:00", f"end of {MIDDLE}"]
    close(cursor, FIRST)
    assert stock_cursor.notes[6:] == [f"end of {MIDDLE}"]
    assert cursor.name == stock_cursor.name


def test_the_newest_record_of_windows_with_one_end_counts_also_if_two_workers_observe_at_once() -> None:
    """The lists of custom fields have one cursor, and are read side by side."""
    stock_cursor = Cursor()
    cursor = cursor_around(stock_cursor)
    first_compares = threading.Event()
    second_is_done = threading.Event()

    class Oldest(Record):
        """Lets the first worker, when it compares its record with this one, wait for the second."""

        @property
        def data(self) -> Row:
            if threading.current_thread() is first:
                first_compares.set()
                second_is_done.wait(0.05)
            return {"date_updated": "2025-06-02T00:00:00+00:00"}

    def observe(date: str) -> None:
        cursor.observe(Record({"date_updated": date}, "custom_fields", LAST))

    first = threading.Thread(target=observe, args=("2025-06-03T00:00:00+00:00",))
    cursor.observe(Oldest({}, "custom_fields", LAST))
    first.start()
    first_compares.wait(10)
    second = threading.Thread(target=observe, args=("2025-06-04T00:00:00+00:00",))
    second.start()
    second.join(0.05)
    second_is_done.set()
    first.join(10)
    second.join(10)
    close(cursor, LAST)
    assert stock_cursor.notes == ["2025-06-04T00:00:00+00:00", f"end of {NOW}"]


def test_windows_that_are_complete_at_once_are_observed_one_after_the_other() -> None:
    """The CDK's cursor of several lists compares the newest record with that of the others, and then replaces it."""

    class SlowCursor(Cursor):
        def observe(self, record: Record) -> None:
            self.notes.append("begins")
            threading.Event().wait(0.05)
            self.notes.append("ends")

        def close_partition(self, partition: Any) -> None:
            """Note nothing."""

    stock_cursor = SlowCursor()
    cursor = cursor_around(stock_cursor)
    for window in (FIRST, LAST):
        cursor.observe(Record({"date_updated": "2025-05-03T00:00:00+00:00"}, "custom_fields", window))
    workers = [threading.Thread(target=close, args=(cursor, window)) for window in (FIRST, LAST)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10)
    assert stock_cursor.notes == ["begins", "ends"] * 2
