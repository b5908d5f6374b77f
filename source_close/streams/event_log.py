"""The event log: what its limit of 30 days means for its own stream and for those that follow it.

https://developer.close.com/api/resources/events/list.md
"""

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airbyte_cdk import Config, RecordFilter
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition

from source_close.api.errors import LOGGER, NOT_OFFERED, CloseApiError
from source_close.api.responses import Row
from source_close.api.sync import Sync
from source_close.dates import format_moment, moment_of, parse_moment
from source_close.streams.records import parts_of
from source_close.streams.records_by_ids import RecordsByIds

RETENTION = timedelta(days=30)  # how long Close keeps events
_GAP = (
    "Stream %s: its position in the event log is %s, but Close has events since %s only. The "
    "events in between, and edits and deletions that only they report, are lost. Refresh "
    "activities, leads and tasks to get their present state, but not event_log, which would lose "
    "its older events. A table that was refreshed since then lacks nothing. Sync at least every "
    f"{RETENTION.days} days."
)
_FORBIDDEN_LOG = (
    "The API key can't read the event log, so deletions and late edits of activities are not read. "
    "Give the key's user the permission, or set capture_changes to false. %s"
)
_UNCLEAR_EVENTS = (
    "%d events of the event log (first: %s) don't say which object changed: their object_type, "
    "action, object_id or date_updated is not as Close documents it. Refresh activities, leads and "
    "tasks to get the changes that are missing."
)
_PROGRESS = "Read %d events of the event log, to follow the changes since the last sync."
_LOG_EVERY_EVENTS = 5_000
_PARTS_OF_LEADS = {"contact", "opportunity", "task"}  # a lead has lists of them
_MAX_EVENT_DELAY = timedelta(seconds=10)  # by which an event is dated after the change it reports
DELETED_AT = "_ab_cdc_deleted_at"  # destinations that deduplicate remove the record if it is set


@dataclass(slots=True)
class Change:
    """What the event log says about one object.

    All dates are as ``format_moment`` writes them.

    Attributes:
        changed_at: a record with an older ``date_updated`` lacks the last change.
        deleted_at: when it was deleted or merged into another, empty if it was not.
        date_created: that of a deleted object, empty if it is not known.
    """

    changed_at: str = ""
    deleted_at: str = ""
    date_created: str = ""

    def add(self, other: "Change") -> None:
        """Add what another event says about the object: the latest dates count."""
        self.changed_at = max(self.changed_at, other.changed_at)
        self.deleted_at = max(self.deleted_at, other.deleted_at)
        self.date_created = max(self.date_created, other.date_created)


# What events say about each object, by object type and id.
Changes = defaultdict[tuple[str, str], Change]


def warn_of_gap(stream: str, reached: datetime, end: datetime) -> None:
    """Warn if the log that a sync until ``end`` can read begins after ``reached``, a position."""
    oldest = end - RETENTION
    if reached < oldest:
        LOGGER.warning(_GAP, stream, format_moment(reached), format_moment(oldest))


@dataclass
class EventWindowFilter(RecordFilter):
    """Keeps the events whose ``cursor_field`` is in the window, ``[start, end)``, or missing.

    The cursor of a page may lead to earlier ones, which belong to another window. ``RecordFilter``,
    the built-in, evaluates a template for each event, a seventh of the CPU time of a read.
    """

    cursor_field: str = ""

    def filter_records(
        self, records: Any, stream_state: Any, stream_slice: Any = None, *_: Any, **__: Any
    ) -> Iterator[Any]:
        """Yield the records to keep."""
        start = parse_moment(stream_slice["start_time"])
        end = parse_moment(stream_slice["end_time"])
        for record in records:
            moment = moment_of(record, self.cursor_field)
            if moment is None or start <= moment < end:
                yield record


class EventLog:
    """The changes that the event log reports since the oldest saved position.

    The first stream that asks for them reads the log, for all streams of the sync.

    Attributes:
        is_forbidden: whether the key may not read it.
        newest: the ``changed_at`` of the newest change, empty if there is none.
    """

    def __init__(self) -> None:
        self.is_forbidden = False
        self.newest = ""
        self._is_read = False
        self._reading = threading.Lock()
        self._changes = Changes(Change)
        # The ids of the events that don't say which object changed, each once and in order.
        self._unclear_events = dict[str, None]()
        self._event_count = 0
        self._adding = threading.Lock()  # held while an event is added to these three

    def changes(self, stream: str, events: AbstractStream, workers: int) -> Changes:
        """Return the changes, none if the key may not read events.

        Args:
            stream: the name of the stream that asks.
            events: the stream of events, whose windows are read side by side.
            workers: how many windows are read at once.

        Raises:
            CloseApiError: if they can't be read for another reason; ``stream`` is then incomplete.
        """
        with self._reading:
            if not self._is_read:
                self._read(stream, events, workers)
                self._is_read = True
        return self._changes

    def _read(self, stream: str, events: AbstractStream, workers: int) -> None:
        try:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(self._read_partition, events.generate_partitions()))
        except CloseApiError as error:
            if error.status not in NOT_OFFERED:
                raise CloseApiError(stream, error.text, error.failure_type) from None
            self.is_forbidden = True
            LOGGER.warning(_FORBIDDEN_LOG, error.text)
        if self._unclear_events:
            LOGGER.warning(
                _UNCLEAR_EVENTS, len(self._unclear_events), next(iter(self._unclear_events))
            )
        self.newest = max((change.changed_at for change in self._changes.values()), default="")

    def _read_partition(self, partition: Partition) -> None:
        for event in partition.read():
            with self._adding:
                if not _add_event(self._changes, event.data):
                    self._unclear_events[event.data["id"]] = None
                self._event_count += 1
                if self._event_count % _LOG_EVERY_EVENTS == 0:
                    LOGGER.info(_PROGRESS, self._event_count)


# Adds what an event says about its object, and returns whether it says which object changed.
def _add_event(changes: Changes, event: Mapping[str, Any]) -> bool:
    moment = moment_of(event, "date_updated")
    texts = [event.get(name) for name in ("object_type", "object_id", "action")]
    if moment is None or not all(isinstance(text, str) and text for text in texts):
        return False
    changed_at = format_moment(moment - _MAX_EVENT_DELAY)
    changed = [(event["object_type"], event["object_id"]), *_leads_of_part(event)]
    for key in changed:
        changes[key].add(Change(changed_at))
    deleted = _deleted_by(event)
    for key, row in deleted.items():
        created = moment_of(row, "date_created")
        date_created = format_moment(created) if created else ""
        changes[key].add(Change(changed_at, format_moment(moment), date_created))
    return event["action"] != "merged" or bool(deleted)


# The lead of a contact, opportunity or task, which changes with it, and the lead from which it was
# moved away: Close's search may show both late.
def _leads_of_part(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    if event["object_type"].partition(".")[0] not in _PARTS_OF_LEADS:
        return []
    lead_ids = [event.get("lead_id"), _object_in(event, "previous_data").get("lead_id")]
    return [("lead", lead_id) for lead_id in lead_ids if isinstance(lead_id, str)]


# The objects that an event deletes, as they were before, by type and id. A merge deletes its source
# lead, whose id may be missing. A thread is deleted with its emails, and Close does not document
# whether it logs each: https://developer.close.com/api/resources/activities/email-threads
def _deleted_by(event: Mapping[str, Any]) -> dict[tuple[str, str], Row]:
    if event["action"] == "merged":
        source_id = _object_in(event, "meta").get("merge_source_lead_id")
        return {("lead", source_id): {}} if isinstance(source_id, str) else {}
    if event["action"] != "deleted":
        return {}
    former = _object_in(event, "previous_data")
    deleted = {(event["object_type"], event["object_id"]): former}
    if event["object_type"].endswith("email_thread"):
        emails = parts_of(former, "emails") + parts_of(former, "latest_emails")
        known = [email for email in emails if isinstance(email.get("id"), str)]
        deleted |= {("activity.email", email["id"]): email for email in known}
    return deleted


def _object_in(event: Mapping[str, Any], key: str) -> Row:
    value = event.get(key)
    return value if isinstance(value, dict) else {}


@dataclass
class EventLogChanges:
    """Reads the late edits, deletions and merges of a stream, which its list does not show.

    It reads the event log, and then by id the records that changed. The CDK has no component that
    follows a log: https://developer.close.com/api/resources/events/list-of-event-types.

    Attributes:
        object_types: the types of the stream's objects in the log, as a regular expression.
        events: the stream of events since the oldest saved position.
        by_ids: reads the records, and a deleted one alone if it may still exist.
    """

    name: str
    cursor_field: str
    config: Config
    object_types: str
    events: AbstractStream
    by_ids: RecordsByIds

    def read_pages(self, emitted: Mapping[str, str]) -> Iterator[list[Row]]:
        """Yield the records with changes that were not emitted, and rows of deletions.

        ``emitted`` has the ``date_updated`` of each record that was emitted before, by id.
        """
        changes = self._changes_of_the_stream()
        deleted_ids = {record_id for record_id, change in changes.items() if change.deleted_at}
        # If a record has changed after its deletion, it may exist.
        maybe_restored_ids = {
            record_id
            for record_id in deleted_ids
            if changes[record_id].changed_at > changes[record_id].deleted_at
        }
        # Close's index may have shown a record as it was before its last change.
        changed_ids = {
            record_id
            for record_id, change in changes.items()
            if change.changed_at > emitted.get(record_id, "")
        }
        wanted = sorted(deleted_ids | changed_ids)
        step = self.by_ids.ids_per_request
        for first in range(0, len(wanted), step):
            ids = wanted[first : first + step]
            existing = self.by_ids.read(
                ids, alone_if_found=deleted_ids, alone_if_missing=maybe_restored_ids
            )
            edited = [row for record_id, row in existing.items() if record_id in changed_ids]
            deletions = [
                self._deletion(record_id, changes[record_id])
                for record_id in ids
                if record_id in deleted_ids and record_id not in existing
            ]
            yield edited + deletions

    # What the log says about each object of the stream, by id. Its type may change, as a task's.
    def _changes_of_the_stream(self) -> dict[str, Change]:
        log = Sync.of(self.config).share(EventLog)
        all_changes = log.changes(self.name, self.events, self.config["num_workers"])
        changes = defaultdict[str, Change](Change)
        for (object_type, record_id), change in all_changes.items():
            if re.fullmatch(self.object_types, object_type):
                changes[record_id].add(change)
        return changes

    # The row that says that a record is deleted. Destinations that deduplicate keep the row with
    # the latest cursor, and an earlier sync may have emitted a later one than the deletion: of a
    # lead that Close has touched after its merge, or of a meeting, whose date_created is its start.
    def _deletion(self, record_id: str, change: Change) -> Row:
        cursor: str = Sync.of(self.config)["end"]
        if self.cursor_field == "date_created":
            cursor = max(cursor, change.date_created)
        return {"id": record_id, self.cursor_field: cursor, DELETED_AT: change.deleted_at}
