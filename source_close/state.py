"""Saved state: what a stream keeps between two syncs, and the forms of it that are understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_close.windows import format_moment, parse_moment

CLOSED_WINDOWS = "closed_windows"
LOG_POSITION = "event_log_position"
# What the CDK saves for a stream without a cursor or after a full refresh: it says nothing about time.
_MARKERS = frozenset({"__ab_no_cursor_state_message", "__ab_full_refresh_sync_complete"})


@dataclass(frozen=True)
class StreamState:
    """One stream's saved state.

    ``cursor``: everything stamped before it has been emitted; None before the first sync.
    ``closed_windows``: half-open intervals after the cursor that an unfinished sync has read, oldest first.
    ``log_position``: what the event log told before this moment has been emitted; None where it is not followed.
    """

    cursor: datetime | None = None
    closed_windows: tuple[tuple[datetime, datetime], ...] = field(default=())
    log_position: datetime | None = None

    def dump(self, cursor_field: str) -> dict[str, Any]:
        """The state as saved, e.g. ``{"date_updated": "2024-05-06T07:08:09.010000+00:00"}``."""
        saved: dict[str, Any] = {}
        if self.cursor is not None:
            saved[cursor_field] = format_moment(self.cursor)
        if self.closed_windows:
            saved[CLOSED_WINDOWS] = [[format_moment(start), format_moment(end)] for start, end in self.closed_windows]
        if self.log_position is not None:
            saved[LOG_POSITION] = format_moment(self.log_position)
        return saved


NOTHING_SAVED = StreamState()


def load_state(stream: str, cursor_field: str, saved: Mapping[str, Any]) -> StreamState:
    """Read a saved state of this connector, of the public Airbyte connector or of the CDK's own cursors.

    Accepted: ``{}``; ``{cursor_field: moment}``; the CDK's ``{"state_type": "date-range", "slices": […]}`` and
    per-partition ``{"states": [{"cursor": {…}}, …], "state": {…}}``, of which the oldest value counts.

    Raises:
        AirbyteTracedException: (config error) it is none of these, or holds a text that is no date-time.
    """
    try:
        cursor = _cursor_of(saved, cursor_field)
        position = parse_moment(saved[LOG_POSITION]) if saved.get(LOG_POSITION) else None
        closed = tuple((parse_moment(start), parse_moment(end)) for start, end in saved.get(CLOSED_WINDOWS) or ())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AirbyteTracedException(
            message=(
                f"The saved state of stream {stream} can't be read ({error}). It was damaged, or made by another "
                f"connector. Reset (clear) the stream {stream} and sync again: it is then read from its start date."
            ),
            internal_message=f"Unreadable state of stream {stream}: {error!r}",
            failure_type=FailureType.config_error,
        ) from error
    return StreamState(cursor, tuple(sorted(closed)), position)


def _cursor_of(saved: Mapping[str, Any], cursor_field: str) -> datetime | None:
    if saved.get(cursor_field) is not None:
        return parse_moment(saved[cursor_field])
    if saved.get("state_type") == "date-range":
        oldest = min(saved["slices"], key=lambda piece: parse_moment(piece["start"]))
        return parse_moment(oldest.get("most_recent_cursor_value") or oldest["end"])
    if "states" in saved or "use_global_cursor" in saved:
        cursors = [piece["cursor"] for piece in saved.get("states") or ()] or [saved["state"]]
        return min(parse_moment(cursor[cursor_field]) for cursor in cursors)
    if set(saved) - _MARKERS - {cursor_field, CLOSED_WINDOWS, LOG_POSITION}:
        raise ValueError(f"no {cursor_field} in it")
    return None
