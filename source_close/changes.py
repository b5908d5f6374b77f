"""Late edits, deletions and merges: what the event log tells that the lists don't.

https://developer.close.com/api/resources/events/list-of-event-types
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from source_close.cursor import WindowCursor
from source_close.errors import PERMISSION_STATUSES, CloseApiError
from source_close.windows import Row, Window, format_moment, moment_of, subtract

LOGGER = logging.getLogger("airbyte.source-close")

# Close shows events late and out of order by up to five minutes.
OVERLAP = timedelta(minutes=5)
_STAMP = "date_updated"


@dataclass(frozen=True)
class Deletion:
    """When the log says an object was deleted, and when it was created, as far as the log says that too."""

    moment: datetime
    date_created: str | None = None


@dataclass
class Changes:
    """What happened to the objects of one stream since its position in the log.

    Attributes:
        object_types: types of events that belong to the stream; one that ends in a dot stands for all that begin so.
        since: events stamped earlier are not of interest.
        changed: ids of objects that were created or changed.
        deleted: ids of objects that were deleted, or went into another by a merge; they may be there again.
    """

    object_types: Sequence[str]
    since: datetime
    changed: set[str] = field(default_factory=set)
    deleted: dict[str, Deletion] = field(default_factory=dict)

    def take(self, event: Row, moment: datetime) -> None:
        """Take note of ``event`` if it is of interest."""
        if moment < self.since or not self._is_ours(event["object_type"]):
            return
        if event["action"] == "deleted":
            date_created = (event.get("previous_data") or {}).get("date_created")
            self._gone(event["object_id"], Deletion(moment, date_created))
            return
        self.changed.add(event["object_id"])
        merged_into_it = (event.get("meta") or {}).get("merge_source_lead_id")
        if event["action"] == "merged" and merged_into_it:
            self._gone(merged_into_it, Deletion(moment))

    def _is_ours(self, object_type: str) -> bool:
        return any(
            object_type.startswith(name) if name.endswith(".") else object_type == name for name in self.object_types
        )

    def _gone(self, object_id: str, deletion: Deletion) -> None:
        earlier, later = sorted((self.deleted.get(object_id, deletion), deletion), key=lambda one: one.moment)
        self.deleted[object_id] = replace(later, date_created=later.date_created or earlier.date_created)


class ChangeLog:
    """Reads the event log once a sync, for every stream that wants to know what changed.

    If the stream event_log is read in the same sync, its pages serve: only what it does not read is asked for.
    """

    def __init__(
        self, end: datetime, retention: timedelta, read_events: Callable[[datetime, datetime], Iterable[list[Row]]]
    ) -> None:
        """Prepare for events up to ``end`` (exclusive); ``read_events`` yields those of an interval, in pages."""
        self._end = end
        self._earliest = end - retention
        self._read_events = read_events
        self._event_log: WindowCursor | None = None
        self._changes: dict[str, Changes] = {}
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._is_read = False
        self._error: CloseApiError | None = None

    def serve_from(self, event_log: WindowCursor) -> None:
        """The stream event_log is read in this sync: ``feed`` gets its events."""
        self._event_log = event_log

    def register(
        self, stream: str, object_types: Sequence[str], position: datetime, overlap: timedelta = OVERLAP
    ) -> None:
        """A stream wants the changes since ``position``, which it has saved, and from so long before once more.

        To be called before reading begins.
        """
        if position < self._earliest:
            LOGGER.warning(
                "Stream %s: the last sync reached %s in Close's event log, which goes back to %s only. Edits of older "
                "activities and deletions made in between are lost. Refresh (reset) the stream %s to have them, and "
                "sync at least every 30 days.",
                stream,
                format_moment(position),
                format_moment(self._earliest),
                stream,
            )
        self._changes[stream] = Changes(object_types, max(position - overlap, self._earliest))

    def feed(self, events: Iterable[Row]) -> None:
        """Take in events, from whatever thread."""
        stamped = [(event, moment) for event in events if (moment := moment_of(event, _STAMP)) is not None]
        with self._lock:
            for changes in self._changes.values():
                for event, moment in stamped:
                    changes.take(event, moment)

    def changes_of(self, stream: str) -> Changes | None:
        """What happened to the stream's objects; None if the key may not read events. Waits until the log is read.

        Raises:
            CloseApiError: the log could not be read.
        """
        with self._reading:
            if not self._is_read:
                self._read()
                self._is_read = True
        if self._error is None:
            return self._changes[stream]
        if self._error.status in PERMISSION_STATUSES:
            return None
        raise self._error.for_stream(stream)

    def _read(self) -> None:
        start = min(changes.since for changes in self._changes.values())
        planned = self._event_log.planned if self._event_log is not None else []
        try:
            for missing in subtract(Window(start, self._end), planned):
                for events in self._read_events(missing.start, missing.end):
                    self.feed(events)
            if self._event_log is not None:
                self._event_log.wait_until_read()
        except CloseApiError as error:
            self._error = error
            if error.status in PERMISSION_STATUSES:
                LOGGER.warning(
                    "This key may not read the event log, so late edits of activities and deletions do not come; "
                    "everything else does. Give its user the permission, or set capture_changes to false. %s",
                    error,
                )
