"""The cursor that hands out windows, lets readers split them, and saves what is complete."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airbyte_cdk.sources.connector_state_manager import ConnectorStateManager
from airbyte_cdk.sources.message import MessageRepository
from airbyte_cdk.sources.streams.concurrent.cursor import Cursor, CursorField
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition
from airbyte_cdk.sources.types import Record, StreamSlice

from source_close.state import NOTHING_SAVED, StreamState
from source_close.windows import Row, Window, format_moment, gaps, moment_of, subtract

LOGGER = logging.getLogger("airbyte.source-close")


class WindowSlice(StreamSlice):
    """A slice of a stream that carries the ``Window`` it stands for."""

    def __init__(self, window: Window) -> None:
        super().__init__(
            partition=window.partition,
            cursor_slice={"start": format_moment(window.start), "end": format_moment(window.end)},
        )
        self.window = window
        self.is_abandoned = False


class ChangesSlice(StreamSlice):
    """The last slice of a later sync: what the event log tells of records that no window holds."""

    def __init__(self, since: datetime, end: datetime) -> None:
        super().__init__(
            partition={},
            cursor_slice={"changes_since": format_moment(since), "changes_until": format_moment(end)},
        )


class WindowCursor(Cursor):
    """Cursor of a stream that is read in windows which split while they are read.

    The built-in ``ConcurrentCursor`` fixes its slices before the first request, so that dense times exceed the API's
    limits and empty years cost a request each; it saves a single value that only advances from the oldest slice on;
    and it moves to the newest record even when that is dated in the future. This one starts with one window a
    partition, takes what readers split off (``push``), saves closed windows beside the cursor while a long read runs,
    and never saves a moment later than ``end``.

    The saved cursor is the newest record stamp that was seen, and never the connector's own clock: clocks that are
    minutes apart lose nothing.
    """

    def __init__(
        self,
        *,
        stream_name: str,
        cursor_field: CursorField,
        start: datetime,
        end: datetime,
        lookback: timedelta = timedelta(),
        saved: StreamState = NOTHING_SAVED,
        retention: timedelta | None = None,
        partitions: Sequence[Mapping[str, Any]] = ({},),
        message_repository: MessageRepository,
        state_manager: ConnectorStateManager,
        log_end: Callable[[], datetime] | None = None,
    ) -> None:
        """Plan the windows of a sync.

        Args:
            stream_name: name of the stream.
            cursor_field: the field whose value is the cursor.
            start: lower bound (inclusive, UTC) of a first sync.
            end: upper bound (exclusive, UTC) of this sync, fixed when it began.
            lookback: how far before the saved cursor a later sync begins.
            saved: the state of the sync before.
            retention: how far back the API remembers at all; None if for ever.
            partitions: one mapping for each partition of the stream; ``[{}]`` if there is only one.
            message_repository: where state messages go.
            state_manager: the CDK's collection of stream states.
            log_end: where in the event log this sync ends, by Close's clock; None if the log is not followed.
        """
        self.stream_name = stream_name
        self._cursor_field = cursor_field
        self._message_repository = message_repository
        self._state_manager = state_manager
        self.end = end
        self.retention = retention
        self.is_first_sync = saved.cursor is None
        cursor = self._not_in_the_future(saved.cursor, end)
        self._saved_cursor = start if cursor is None else cursor
        self.start = min(start, end) if cursor is None else self._lower_bound(cursor, start, lookback)
        if retention is not None:
            self._keep_within(retention, cursor)
        # What changed just before an interrupted sync ended may not have been visible to it yet.
        settled = min(max((b for _, b in saved.closed_windows), default=end), end) - lookback
        closed = [(a, min(b, settled)) for a, b in saved.closed_windows if a < settled]
        self._waiting = deque(
            window for partition in partitions for window in subtract(Window(self.start, end, partition), closed)
        )
        self._open: list[Window] = list(self._waiting)
        self.planned = [(window.start, window.end) for window in self._waiting]
        self._newest: datetime | None = None
        self._broken_rows = 0
        self._error: BaseException | None = None
        self._log_end = log_end
        self.log_position: datetime | None = cursor if log_end else None
        if saved.log_position is not None:
            self.log_position = min(saved.log_position, end)
        self.brings_changes = log_end is not None and self.log_position is not None
        self._saves_first = log_end is not None and self.log_position is None
        self._changed = threading.Condition()

    @staticmethod
    def _lower_bound(cursor: datetime, start: datetime, lookback: timedelta) -> datetime:
        """The cursor minus the lookback, but not before the configured start unless the cursor itself is."""
        return cursor if cursor <= start else max(cursor - lookback, start)

    def _keep_within(self, retention: timedelta, cursor: datetime | None) -> None:
        earliest = self.end - retention
        if cursor is not None and cursor < earliest:
            LOGGER.warning(
                "Stream %s: Close keeps %d days of it, and the last sync reached %s. What happened between then and %s "
                "is lost to this stream. Sync more often than every %d days.",
                self.stream_name,
                retention.days,
                format_moment(cursor),
                format_moment(earliest),
                retention.days,
            )
        self.start = max(self.start, earliest)

    def _not_in_the_future(self, cursor: datetime | None, end: datetime) -> datetime | None:
        if cursor is None or cursor <= end:
            return cursor
        LOGGER.warning(
            "Stream %s: the saved state %s lies in the future. Reading goes on from now; if records are missing, "
            "reset (clear) the stream.",
            self.stream_name,
            format_moment(cursor),
        )
        return end

    @property
    def cursor_field(self) -> CursorField:
        """The field whose value is the cursor."""
        return self._cursor_field

    @property
    def state(self) -> MutableMapping[str, Any]:
        """The state to save now: complete up to the cursor, and the closed windows after it."""
        with self._changed:
            return self._state().dump(self._cursor_field.cursor_field_key)

    def _state(self) -> StreamState:
        complete_to = min((window.start for window in self._open), default=self.end)
        newest = self._newest or self._saved_cursor
        closed = [(a, min(b, newest)) for a, b in gaps(complete_to, self.end, self._open)] if self._open else []
        return StreamState(
            cursor=max(self._saved_cursor, min(newest, complete_to)),
            closed_windows=tuple((a, b) for a, b in closed if a < b),
            log_position=self.log_position or (self._log_end() if self._log_end else None),
        )

    def stream_slices(self) -> Iterable[StreamSlice]:
        """Hand out windows until every one is closed, or one has failed. Waits while readers may still split theirs.

        Where the event log is followed, the last slice of a later sync is a ``ChangesSlice``.
        """
        while (window := self._take()) is not None:
            yield WindowSlice(window)
        if self.brings_changes and self.log_position is not None and self._error is None:
            yield ChangesSlice(self.log_position, self.end)

    def _take(self) -> Window | None:
        with self._changed:
            while not self._waiting and self._open and self._error is None:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting and self._error is None else None

    def split(self, being_read: WindowSlice, own: Window, *others: Window) -> None:
        """Shrink the window ``being_read`` to ``own``, and give ``others`` to whoever is free."""
        with self._changed:
            self._open.remove(being_read.window)
            self._open.extend((own, *others))
            being_read.window = own
            self._waiting.extend(others)
            self._changed.notify_all()

    @property
    def has_failed(self) -> bool:
        """Whether a window could not be read."""
        return self._error is not None

    def fail(self, error: BaseException) -> bool:
        """A window could not be read: hand out no more of them. Returns whether it is the first of the stream."""
        with self._changed:
            is_first = self._error is None
            self._error = self._error or error
            self._changed.notify_all()
            return is_first

    def wait_until_read(self) -> None:
        """Wait until every window is closed.

        Raises:
            CloseApiError: one could not be read.
        """
        with self._changed:
            while self._open and self._error is None:
                self._changed.wait()
            if self._error is not None:
                raise self._error

    def changes_are_read(self) -> None:
        """What the event log told up to the end of this sync has been emitted."""
        if self._log_end is not None:
            self.log_position = self._log_end()

    def saw(self, rows: Iterable[Row]) -> None:
        """Take note of the stamps of rows that are being emitted; those without one are counted and warned of once.

        Before the first rows of a first sync the position in the event log is saved: a sync that goes on in place of an
        interrupted one then learns what of them was deleted meanwhile.
        """
        newest, broken = None, 0
        for row in rows:
            moment = moment_of(row, self._cursor_field.cursor_field_key)
            if moment is None:
                broken += 1
            elif newest is None or moment > newest:
                newest = moment
        with self._changed:
            if self._saves_first and (newest is not None or broken):
                self._saves_first = False
                self._emit_state()
            if newest is not None and (self._newest is None or newest > self._newest):
                self._newest = newest
            if broken and not self._broken_rows:
                LOGGER.warning(
                    "Stream %s: a record came without a readable %s. It is emitted all the same; it does not move the "
                    "saved cursor.",
                    self.stream_name,
                    self._cursor_field.cursor_field_key,
                )
            self._broken_rows += broken

    def observe(self, record: Record) -> None:
        """Nothing: stamps are noted a page at a time by ``saw``, which costs a fifth of doing it here."""

    def close_partition(self, partition: Partition) -> None:
        """The window of ``partition`` is read to its end and all its records are emitted: save the state."""
        done = partition.to_slice()
        if isinstance(done, WindowSlice):
            if done.is_abandoned:
                return  # it stays open: the next sync reads it
            self.close(done)
        with self._changed:
            self._emit_state()

    def close(self, done: WindowSlice) -> None:
        """The window of ``done`` is read to its end."""
        with self._changed:
            self._open.remove(done.window)
            self._changed.notify_all()

    def ensure_at_least_one_state_emitted(self) -> None:
        """Emit the final state and say how many records came without a cursor value."""
        with self._changed:
            if self._broken_rows:
                LOGGER.warning(
                    "Stream %s: %d records came without a readable %s.",
                    self.stream_name,
                    self._broken_rows,
                    self._cursor_field.cursor_field_key,
                )
            self._emit_state()

    def _emit_state(self) -> None:
        state = self._state().dump(self._cursor_field.cursor_field_key)
        self._state_manager.update_state_for_stream(self.stream_name, None, state)
        self._message_repository.emit_message(self._state_manager.create_state_message(self.stream_name, None))

    def should_be_synced(self, record: Record) -> bool:
        """Always: readers emit nothing else."""
        return True
