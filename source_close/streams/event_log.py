"""Read late edits, deletions and merges: https://developer.close.com/api/resources/events/list-of-event-types."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airbyte_cdk import Config, HttpRequester, RecordFilter, RequestOption
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream as DeclarativeStream

from source_close.api.error_handler import FORBIDDEN, CloseApiError, response_json
from source_close.api.sync import LOGGER, Sync
from source_close.dates import Row, format_moment, moment_of, parse_moment

_NO_LOG = (
    "The API key can't read the event log, so deletions and late edits of activities are not read. Give the key's user "
    "the permission, or set capture_changes to false."
)
_UNCLEAR = (
    "%d events of the event log (first: %s) don't say which object changed: their object_type, action, object_id or "
    "date_updated is not as Close documents it. Refresh the streams to get the changes that are missing."
)
_DELETED_AT = "_ab_cdc_deleted_at"  # destinations that deduplicate remove the record if it is set
# By id: None if created or edited; if deleted or merged, when, and the record's date_created if known.
Changes = dict[str, tuple[datetime, str | None] | None]


@dataclass
class EventLogChanges:
    """Reads the event log once for all streams, then, by id, the stream's records that changed.

    The CDK has no component that follows a log of changes. ``events`` is the stream of events since the oldest saved
    position. An entry of ``object_types`` ending in a dot is a prefix. ``by_ids_requester`` reads ``ids_per_request``
    records at once. ``record_requester`` checks a deleted record that is still returned, as the index lags.
    """

    name: str
    cursor_field: str
    config: Config
    object_types: Sequence[str]
    events: DeclarativeStream
    by_ids_requester: HttpRequester
    ids_option: RequestOption
    page_size_option: RequestOption
    ids_per_request: int
    record_requester: HttpRequester | None = None

    def read_pages(self, emitted: set[str]) -> Iterator[list[Row]]:
        """Yield pages: the records that changed and are not in ``emitted``, and a row for each deleted record."""
        changes: Changes = {}
        for object_type, of_type in self._log().items():
            if any(object_type.startswith(one) if one[-1] == "." else object_type == one for one in self.object_types):
                changes |= of_type
        wanted = sorted(record_id for record_id, gone in changes.items() if gone or record_id not in emitted)
        for first in range(0, len(wanted), self.ids_per_request):
            ids = wanted[first : first + self.ids_per_request]
            existing = self._existing(ids)
            if requester := self.record_requester:
                for one in [one for one in existing if changes[one]]:
                    # For the source of a merge, Close may return the destination.
                    if response_json(requester.send_request(path=f"{one}/")).get("id") != one:
                        del existing[one]
            deletions = [self._tombstone(one, *gone) for one in ids if (gone := changes[one]) and one not in existing]
            yield [row for one, row in existing.items() if one not in emitted] + deletions

    def _tombstone(self, record_id: str, moment: datetime, date_created: str | None) -> Row:
        deleted_at = format_moment(moment)  # also the cursor value, unless that is a known date_created
        value = date_created if self.cursor_field == "date_created" else None
        return {"id": record_id, self.cursor_field: value or deleted_at, _DELETED_AT: deleted_at}

    def _existing(self, ids: Sequence[str]) -> dict[str, Row]:
        """Return the records that exist, by id. Ids missing from an incomplete response are requested again."""
        found, has_more = dict[str, Row](), True
        while has_more and (pending := [one for one in ids if one not in found]):
            body = dict[str, Any]()
            self.ids_option.inject_into_request(body, ",".join(pending), self.config)
            self.page_size_option.inject_into_request(body, self.ids_per_request, self.config)
            response = response_json(self.by_ids_requester.send_request(request_body_json=body))
            found |= {row["id"]: row for row in response["data"] if row["id"] in pending}
            has_more = bool(response.get("has_more"))
        return found

    def _log(self) -> Mapping[str, Changes]:
        sync = Sync.of(self.config)
        with sync.log_lock:
            log = sync.log = self._read_log(sync) if sync.log is None else sync.log
        if isinstance(log, CloseApiError):
            raise CloseApiError(self.name, log.text, log.failure_type)
        return log

    def _read_log(self, sync: Sync) -> Mapping[str, Changes] | CloseApiError:
        log, unclear = defaultdict[str, Changes](dict), list[str]()
        try:
            for partition in self.events.generate_partitions():
                unclear += [event["id"] for event in partition.read() if not _add_event(log, event)]
        except CloseApiError as error:
            sync.is_log_forbidden = error.status in FORBIDDEN
            if not sync.is_log_forbidden:
                return error
            LOGGER.warning("%s %s", _NO_LOG, error.text)
        if unclear:
            LOGGER.warning(_UNCLEAR, len(unclear), unclear[0])
        return log


def _add_event(log: defaultdict[str, Changes], event: Mapping[str, Any]) -> bool:
    """Add what an event says about its object to ``log``. Return false if it doesn't say which object changed."""
    texts = [one for name in ("object_type", "action", "object_id") if isinstance(one := event.get(name), str) and one]
    moment = moment_of(event, "date_updated")
    if moment is None or len(texts) < 3:  # noqa: PLR2004 - all of them
        return False
    object_type, action, object_id = texts
    meta, previous = (one if isinstance(one := event.get(name), dict) else {} for name in ("meta", "previous_data"))
    changes, created, gone = log[object_type], None, meta.get("merge_source_lead_id") if action == "merged" else None
    if action == "deleted":
        gone, created = object_id, previous.get("date_created") if moment_of(previous, "date_created") else None
    else:
        changes.setdefault(object_id, None)
    if not isinstance(gone, str):
        return action != "merged"
    known_moment, known_created = changes.get(gone) or (moment, None)
    changes[gone] = (max(moment, known_moment), created or known_created)
    return True


@dataclass
class EventWindowFilter(RecordFilter):
    """Keeps records whose cursor is in the slice's ``[start, end)`` or missing. ``RecordFilter`` takes longer."""

    cursor_field: str = ""

    def filter_records(self, records: Any, stream_state: Any, stream_slice: Any = None, *_: Any, **__: Any) -> Any:
        """Yield the records to keep."""
        start, end = (parse_moment(bound) for bound in stream_slice.cursor_slice.values())
        start = start.replace(microsecond=0)  # Close may truncate date filters to seconds
        for record in records:
            if (moment := moment_of(record, self.cursor_field)) is None or start <= moment < end:
                yield record
