"""Saved states: those of other versions and connectors, from the future, and older than Close remembers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import AirbyteTracedException, Config, FailureType
from airbyte_cdk.sources.declarative.migrations.state_migration import StateMigration
from isodate import parse_duration

from source_close.moments import EARLIEST, format_moment, parse_moment
from source_close.sync import LOGGER

# What is saved for a stream before a first record, and what 0.1.0 saved beside the cursor.
_SAYS_NOTHING = frozenset({"closed_windows", "event_log_position", "use_global_cursor", "lookback_window", "states"})


@dataclass
class CursorStateMigration(StateMigration):
    """Brings a stream's state into the form ``{cursor_field: moment}``, and the moment out of the future.

    The CDK's cursors ignore other forms, stop at one that they can't parse, and read nothing from one ahead. Accepted
    are this, ``{"state_type": "date-range", "slices": […]}`` and ``{"states": [{"cursor": {…}}, …], "state": {…}}``, by
    the oldest moment. With the event log, a warning names the gap if the last sync is longer ago than ``retention``.
    """

    name: str
    cursor_field: str
    config: Config
    retention: str
    is_event_log: bool = False

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        """Whether there is anything saved."""
        return bool(stream_state)

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        """The state to go on from, empty if none is saved; a config error if it is in no known form."""
        try:
            moments = list(self._moments(stream_state))
            if not moments and {key for key in stream_state if not key.startswith("__ab_")} - _SAYS_NOTHING:
                raise ValueError(f"no {self.cursor_field} in it")  # noqa: TRY301 - one sentence for all that is wrong
        except (AttributeError, TypeError, ValueError) as error:
            cause = f"stream {self.name} can't be read ({error}). It was damaged, or made by another connector."
            advice = f"Reset (clear) the stream {self.name} and sync again: it is then read from its start date."
            message = f"The saved state of {cause} {advice}"
            raise AirbyteTracedException(message, message, FailureType.config_error) from error
        end, position = parse_moment(self.config["end"]), self.config["event_log_positions"].get(self.name)
        earliest, cursor = end - parse_duration(self.retention), min(moments, default=None)
        reached = parse_moment(position) if position else cursor if self.is_event_log else None
        if reached is not None and reached < earliest:
            LOGGER.warning(
                "Stream %s: the last sync reached %s in Close's event log, which goes back 30 days to %s. Events in "
                "between, and edits and deletions that only they tell of, are lost. Refresh (reset) the stream %s to "
                "have its present state, and sync at least every 30 days.",
                *(self.name, format_moment(reached), format_moment(earliest), self.name),
            )
        if cursor is not None and cursor > end:
            advice = "Reading goes on from now; if records are missing, reset (clear) it."
            LOGGER.warning("Stream %s: the saved state %s lies in the future. %s", self.name, cursor, advice)
        return {self.cursor_field: format_moment(min(max(cursor, EARLIEST), end))} if cursor is not None else {}

    def _moments(self, saved: Any) -> Iterator[datetime]:
        if isinstance(saved, Mapping):
            keys = (self.cursor_field, "most_recent_cursor_value", "end")
            if own := next((saved[key] for key in keys if saved.get(key)), None):
                yield parse_moment(own)
                return
            saved = list(saved.values())
        for entry in saved if isinstance(saved, list) else ():
            yield from self._moments(entry)
