"""Saved states: read those of any version, and add the position in the event log.

The next sync follows the event log from that position.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from airbyte_cdk import Config, ConnectorStateManager, FailureType, models
from airbyte_cdk.sources.declarative.migrations.state_migration import StateMigration

from source_close.api.errors import LOGGER, CloseApiError
from source_close.api.sync import Sync
from source_close.dates import (
    EARLIEST,
    MAX_CLOCK_LEAD,
    MILLISECOND,
    format_moment,
    moment_of,
    parse_moment,
    whole_second,
)
from source_close.streams.event_log import RETENTION, EventLog, warn_of_gap

POSITION = "event_log_position"  # the key in a stream's state
_EVENT_LOG = "event_log"  # the stream, which has a position only to notice a gap
# Where a state has the moment up to which a stream was read: the first that is not in the future.
_MOMENT_KEYS = (POSITION, "date_updated", "date_created")
# Keys of a state without a cursor: of a stream before its first record, and of version 0.1.0.
_KEYS_WITHOUT_CURSOR = {
    POSITION,
    "closed_windows",
    "lookback_window",
    "states",
    "use_global_cursor",
}
# For how long a stream without a state follows the log: a day is left to repeat a sync that failed.
_FOLLOWED_WITHOUT_STATE = RETENTION - timedelta(days=1)
# Where other connectors keep the moment up to which a stream was read.
_OTHER_CURSORS = ("most_recent_cursor_value", "end")
_DAMAGED = (
    "its saved state can't be read ({problem}). It is damaged, or another connector saved it. "
    "Refresh the stream; if it is event_log, retain its records, as Close keeps events for 30 days."
)
_FUTURE = (
    "Stream %s: the saved state %s is in the future. The sync continues from now. If records are "
    "missing, refresh the stream, but not event_log, which would lose its older events."
)


def states_to_use(
    states: list[models.AirbyteStateMessage], catalog: models.ConfiguredAirbyteCatalog
) -> list[models.AirbyteStateMessage]:
    """Return the states, also of a global one, of the streams that are read incrementally.

    They lose a namespace, which the connector's streams do not have.
    """
    names = {
        configured.stream.name
        for configured in catalog.streams
        if configured.sync_mode == models.SyncMode.incremental
    }
    return [
        models.AirbyteStateMessage(
            models.AirbyteStateType.STREAM,
            models.AirbyteStreamState(
                models.StreamDescriptor(stream.stream_descriptor.name), stream.stream_state
            ),
        )
        for stream in chain.from_iterable(map(_stream_states, states))
        if stream.stream_descriptor.name in names
    ]


# The states of streams in a message. One of the legacy form has them by the names of the streams.
def _stream_states(state: models.AirbyteStateMessage) -> list[models.AirbyteStreamState]:
    if state.global_:
        return state.global_.stream_states
    if state.stream:
        return [state.stream]
    return [
        models.AirbyteStreamState(models.StreamDescriptor(name), models.AirbyteStateBlob(saved))
        for name, saved in (state.data or {}).items()
        if isinstance(saved, dict)
    ]


def is_first_sync(states: list[models.AirbyteStateMessage], end: str) -> bool:
    """Return whether no stream was read before ``end``, not even in full refresh or unselected.

    A state in the future, or in the form of another connector, does not say so.
    """
    blobs = [stream.stream_state for stream in chain.from_iterable(map(_stream_states, states))]
    moments = [_reached_by(vars(blob), parse_moment(end)) for blob in blobs if blob]
    return not any(moments)


# The moment up to which a saved state says that a stream was read, None if it does not.
def _reached_by(state: Mapping[str, Any], end: datetime) -> datetime | None:
    moments = [moment_of(state, key) for key in _MOMENT_KEYS]
    past_moments = [moment for moment in moments if moment and moment < end + MAX_CLOCK_LEAD]
    return max(past_moments[0], EARLIEST) if past_moments else None


@dataclass
class CursorStateMigration(StateMigration):
    """Converts a stream's state to ``{cursor_field: moment}``, where the moment is in the past.

    It also accepts ``{"state_type": "date-range", "slices": […]}`` and ``{"states": [{"cursor":
    {…}}], "state": {…}}``, in which the oldest moment counts.

    ``LegacyToPerPartitionStateMigration``, the only built-in, converts states of partitions. The
    CDK's cursors ignore other forms, fail on a moment that they can't parse, and read nothing from
    a future one.
    """

    name: str
    config: Config
    cursor_field: str = ""  # a stream without a cursor has nothing to convert

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        """Return whether there is a state."""
        return bool(stream_state)

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the converted state, empty if it has no cursor.

        If its form is unknown, the stream's first request raises a config error: an error here
        would end all streams.
        """
        try:
            cursor = self._oldest_cursor(stream_state)
        except (OverflowError, ValueError) as error:
            text = _DAMAGED.format(problem=error)
            damage = CloseApiError(self.name, text, FailureType.config_error)
            Sync.of(self.config).unreadable_states[self.name] = damage
            return {}
        return {self.cursor_field: self._start_at(cursor)} if cursor else {}

    # The oldest moment in a state, None if it has none yet. It raises if one can't be read, or if
    # there is none although the state has a key that is not known.
    def _oldest_cursor(self, stream_state: Mapping[str, Any]) -> datetime | None:
        cursor = min(self._cursors(stream_state), default=None)
        keys = {key for key in stream_state if not key.startswith("__ab_")}  # without Airbyte's own
        if cursor is None and keys - _KEYS_WITHOUT_CURSOR:
            raise ValueError(f"no {self.cursor_field} in it")
        return cursor

    # The moments in a state or in a part of it.
    def _cursors(self, saved: Any) -> Iterator[datetime]:
        if isinstance(saved, list):
            for part in saved:
                yield from self._cursors(part)
        elif isinstance(saved, Mapping):
            keys = [key for key in (self.cursor_field, *_OTHER_CURSORS) if saved.get(key)]
            if keys:
                yield parse_moment(str(saved[keys[0]]))
            else:
                yield from self._cursors(list(saved.values()))

    # Where a stream with this cursor begins: at a whole second, so that no second is in two of the
    # windows, and before the end of the sync, so that it has a window, and then follows the log.
    def _start_at(self, cursor: datetime) -> str:
        end = parse_moment(Sync.of(self.config)["end"])
        if cursor > end:
            LOGGER.warning(_FUTURE, self.name, cursor)
        start = min(max(cursor, EARLIEST), end - MILLISECOND)
        return format_moment(whole_second(start))


class LogPositions:
    """Adds each stream's position to its states, since a component can't add to the CDK's states.

    The next sync follows the log from this position, which is in UTC. When a stream that follows
    the log is complete, it is ten seconds before the newest event, or a day before the start of the
    sync if that is later. Until then, so that an interruption hides no deletion, it is

    - the position in the stream's saved state or, without one, the cursor there; neither counts if
      it is more than five minutes in the future;
    - otherwise, unless this is a first sync, 29 days ago: the stream may have a table but no state,
      as Airbyte clears only the state to fill new columns;
    - otherwise the start of the sync. In a first sync no stream follows the log. The next one finds
      in the log what is deleted after that start, even if ``capture_changes`` is only on by then.

    ``event_log`` has a position, too, the start of the last complete sync: its cursor is its newest
    event, which may be old without a gap.

    Args:
        followers: the streams of the catalog that can follow the log.
        states: the saved states of streams.
        sync: gets the position of each stream that follows the log.
        capture_changes: whether the followers do so in this sync.
        is_first_sync: whether no stream was read before, not even one that ``states`` lacks.
    """

    def __init__(
        self,
        followers: Collection[str],
        states: list[models.AirbyteStateMessage],
        sync: Sync,
        *,
        capture_changes: bool,
        is_first_sync: bool,
    ) -> None:
        self._sync = sync
        self._following = {_EVENT_LOG}
        if capture_changes:
            self._following.update(followers)
        self._states = ConnectorStateManager(states)
        end = parse_moment(sync["end"])
        self._reached = {
            name: _reached_by(self._states.get_stream_state(name, None), end)
            for name in (_EVENT_LOG, *followers)
        }
        start_without_state = end if is_first_sync else end - _FOLLOWED_WITHOUT_STATE
        self._positions = {  # those that states get
            name: format_moment(reached or start_without_state)
            for name, reached in self._reached.items()
        }
        for name, reached in self._reached.items():
            if reached and name in self._following:
                warn_of_gap(name, reached, end)
        if not is_first_sync:
            sync.event_log_positions = {
                name: self._positions[name]
                for name in self._following.difference([_EVENT_LOG], sync.full_refreshes)
            }

    def add_to(self, messages: Iterable[models.AirbyteMessage]) -> Iterator[models.AirbyteMessage]:
        """Yield the messages of a read, with positions in the states."""
        for message in messages:
            status = message.trace.stream_status if message.trace else None
            if status:
                yield from self._state_at(status)
            yield from self._with_position(message)

    # The state that a stream gets at a status. At its start it gets one if it was not read before,
    # and when it is complete one with its final position, which the CDK's last state may lack.
    def _state_at(
        self, status: models.AirbyteStreamStatusTraceMessage
    ) -> Iterator[models.AirbyteMessage]:
        name = status.stream_descriptor.name
        is_new = status.status == models.AirbyteStreamStatus.STARTED and not self._reached.get(name)
        is_complete = status.status == models.AirbyteStreamStatus.COMPLETE
        log = self._sync.share(EventLog)
        if is_complete and name in self._following and not log.is_forbidden:
            self._positions[name] = self._final_position(name, log)
        if name in self._positions and (is_new or is_complete):
            yield from self._with_position(self._states.create_state_message(name, None))

    # From where a stream that is complete continues: where it has seen the log end. If Close's log
    # stands still, that is before the start of the sync. No incident stops it for a day, so a day
    # without events counts as no stop.
    def _final_position(self, name: str, log: EventLog) -> str:
        end = self._sync["end"]
        if name not in self._sync.event_log_positions:
            return end
        a_day_before = format_moment(parse_moment(end) - timedelta(days=1))
        return max(self._positions[name], log.newest, a_day_before)

    # The message; a state gets its position. A stream whose saved state is damaged has to be
    # cleared, and another state would hide that.
    def _with_position(self, message: models.AirbyteMessage) -> Iterator[models.AirbyteMessage]:
        state = message.state.stream if message.state else None
        if state:
            name = state.stream_descriptor.name
            if name in self._sync.unreadable_states:
                return
            if name in self._positions:
                blob = {**vars(state.stream_state), POSITION: self._positions[name]}
                state.stream_state = models.AirbyteStateBlob(blob)
            self._states.update_state_for_stream(name, None, vars(state.stream_state))
        yield message
