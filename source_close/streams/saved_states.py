"""Read saved states: of other versions and connectors, from the future, or older than Close's event log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import Config, FailureType
from airbyte_cdk.sources.declarative.migrations.state_migration import StateMigration
from isodate import parse_duration

from source_close.api.error_handler import CloseApiError
from source_close.api.sync import LOGGER
from source_close.dates import EARLIEST, MILLISECOND, format_moment, parse_moment

# Keys of a state without a cursor: of a stream before its first record, and of version 0.1.0.
_OTHER_KEYS = frozenset({"closed_windows", "event_log_position", "use_global_cursor", "lookback_window", "states"})


@dataclass
class CursorStateMigration(StateMigration):
    """Converts a stream's state to ``{cursor_field: moment}``, where the moment is not in the future.

    ``LegacyToPerPartitionStateMigration``, the only built-in, converts states of partitions. The CDK's cursors ignore
    other forms, fail on a moment they can't parse, and read nothing from a future one. Accepted are also
    ``{"state_type": "date-range", "slices": […]}`` and ``{"states": [{"cursor": {…}}], "state": {…}}``; the oldest
    moment counts. A warning names the gap if the event log was last read over ``retention`` ago.
    """

    name: str
    config: Config
    retention: str
    cursor_field: str = ""  # a stream without a cursor has nothing to convert

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        """Return whether there is a state."""
        return bool(stream_state)

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the converted state, empty if it has no cursor. Raise a config error if its form is unknown."""
        try:
            moments = list(self._moments(stream_state))
            if not moments and {key for key in stream_state if not key.startswith("__ab_")} - _OTHER_KEYS:
                raise ValueError(f"no {self.cursor_field} in it")  # noqa: TRY301 - all problems get one message
        except (AttributeError, TypeError, ValueError) as error:
            problem = f"its saved state can't be read ({error}). It is damaged, or another connector saved it."
            advice = "Clear the stream and sync again: the sync then reads it from the start date."
            raise CloseApiError(self.name, f"{problem} {advice}", FailureType.config_error) from error
        end, position = parse_moment(self.config["end"]), self.config["event_log_positions"].get(self.name)
        earliest, cursor = end - parse_duration(self.retention), min(moments, default=None)
        if position and (reached := parse_moment(position)) < earliest:
            LOGGER.warning(
                "Stream %s: the last sync reached %s in the event log, but Close has events since %s only. The "
                "events in between, and edits and deletions that only they report, are lost. Refresh the stream %s to "
                "get its present state, and sync at least every 30 days.",
                *(self.name, format_moment(reached), format_moment(earliest), self.name),
            )
        if cursor is not None and cursor > end:
            advice = "The sync continues from now. If records are missing, clear the stream."
            LOGGER.warning("Stream %s: the saved state %s is in the future. %s", self.name, cursor, advice)
        return {self.cursor_field: format_moment(min(max(cursor, EARLIEST), end - MILLISECOND))} if cursor else {}

    def _moments(self, saved: Any) -> Iterator[datetime]:
        if isinstance(saved, Mapping):
            keys = (self.cursor_field, "most_recent_cursor_value", "end")
            if own := next((saved[key] for key in keys if saved.get(key)), None):
                yield parse_moment(own)
                return
            saved = list(saved.values())
        for entry in saved if isinstance(saved, list) else ():
            yield from self._moments(entry)
