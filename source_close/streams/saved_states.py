"""Read saved states: of other versions and connectors, from the future, or older than the log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import Config, FailureType
from airbyte_cdk.sources.declarative.migrations.state_migration import StateMigration

from source_close.api.errors import LOGGER, CloseApiError
from source_close.api.sync import Sync
from source_close.dates import EARLIEST, MILLISECOND, format_moment, parse_moment
from source_close.streams.event_log import warn_of_gap
from source_close.streams.log_positions import POSITION

# Keys of a state without a cursor: of a stream before its first record, and of version 0.1.0.
_KEYS_WITHOUT_CURSOR = {
    POSITION,
    "closed_windows",
    "lookback_window",
    "states",
    "use_global_cursor",
}
_AIRBYTE_PREFIX = "__ab_"
# Where other connectors keep the moment up to which a stream was read.
_OTHER_CURSORS = ("most_recent_cursor_value", "end")
_DAMAGED = (
    "its saved state can't be read ({problem}). It is damaged, or another connector saved it. "
    "Clear the stream and sync again: the sync then reads it from the start date."
)
_FUTURE = (
    "Stream %s: the saved state %s is in the future. The sync continues from now. If records are "
    "missing, clear the stream."
)


@dataclass
class CursorStateMigration(StateMigration):
    """Converts a stream's state to ``{cursor_field: moment}``, where the moment is in the past.

    ``LegacyToPerPartitionStateMigration``, the only built-in, converts states of partitions. The
    CDK's cursors ignore other forms, fail on a moment they can't parse, and read nothing from a
    future one. Accepted are also ``{"state_type": "date-range", "slices": […]}`` and
    ``{"states": [{"cursor": {…}}], "state": {…}}``; the oldest moment counts.
    """

    name: str
    config: Config
    cursor_field: str = ""  # a stream without a cursor has nothing to convert

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        """Return whether there is a state."""
        return bool(stream_state)

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the converted state, empty if it has no cursor.

        Raises:
            CloseApiError: a config error, if the form of the state is unknown.
        """
        sync = Sync.of(self.config)
        end = parse_moment(sync["end"])
        if self.name in sync["event_log_positions"]:
            warn_of_gap(self.name, parse_moment(sync["event_log_positions"][self.name]), end)
        try:
            cursor = min(self._cursors(stream_state), default=None)
            keys = {key for key in stream_state if not key.startswith(_AIRBYTE_PREFIX)}
            if cursor is None and keys - _KEYS_WITHOUT_CURSOR:
                raise ValueError(f"no {self.cursor_field} in it")  # noqa: TRY301 - one message
        except (AttributeError, TypeError, ValueError) as error:
            text = _DAMAGED.format(problem=error)
            raise CloseApiError(self.name, text, FailureType.config_error) from error
        if cursor is None:
            return {}
        if cursor > end:
            LOGGER.warning(_FUTURE, self.name, cursor)
        return {self.cursor_field: format_moment(min(max(cursor, EARLIEST), end - MILLISECOND))}

    # The moments in a state or in a part of it.
    def _cursors(self, saved: Any) -> Iterator[datetime]:
        if isinstance(saved, Mapping):
            for key in (self.cursor_field, *_OTHER_CURSORS):
                if saved.get(key):
                    yield parse_moment(saved[key])
                    return
            saved = list(saved.values())
        if isinstance(saved, list):
            for part in saved:
                yield from self._cursors(part)
