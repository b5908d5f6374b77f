"""Reads single records again by their ids, and tells which are gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from source_close.changes import Changes, Deletion
from source_close.endpoint import Endpoint
from source_close.errors import NOT_FOUND, CloseApiError
from source_close.transport import Transport
from source_close.windows import Row, format_moment

# Airbyte's name: a destination that deduplicates removes a record whose last row has it.
DELETED_AT = "_ab_cdc_deleted_at"
IDS_A_REQUEST = 100


@dataclass(frozen=True)
class Refetch:
    """Turns what the event log told of a stream into rows: the present state of what changed, or when it went.

    Attributes:
        transport: sends the requests.
        endpoint: the stream's list, asked by POST in place of GET since a hundred ids exceed a URL.
        parameters: parameters of the list besides the ids.
        confirm_one_by_one: whether the list comes from an index that may lag, so that a record that the log says is
            deleted and the list still shows is asked for by itself.
    """

    transport: Transport
    endpoint: Endpoint
    parameters: Mapping[str, Any] = field(default_factory=dict)
    confirm_one_by_one: bool = False

    def pages(self, changes: Changes, emitted: set[str], cursor_field: str) -> Iterator[list[Row]]:
        """Yield one row for each record of ``changes`` that is not among the ``emitted`` or has gone since."""
        wanted = iter(sorted((changes.changed - emitted) | changes.deleted.keys()))
        while ids := list(islice(wanted, IDS_A_REQUEST)):
            alive = {row["id"]: row for row in self._fetch(ids)}
            for record_id in sorted(alive.keys() & changes.deleted.keys()) if self.confirm_one_by_one else ():
                if not self._exists(record_id):
                    del alive[record_id]
            yield [row for record_id, row in alive.items() if record_id not in emitted] + [
                tombstone(record_id, cursor_field, changes.deleted[record_id])
                for record_id in ids
                if record_id in changes.deleted and record_id not in alive
            ]

    def _fetch(self, ids: Sequence[str]) -> list[Row]:
        parameters = {**self.parameters, "id__in": ",".join(ids), "_limit": IDS_A_REQUEST}
        answer = self.transport.fetch(self.endpoint, json={"_params": parameters})
        return [row for row in answer["data"] if row["id"] in ids]

    def _exists(self, record_id: str) -> bool:
        try:
            row = self.transport.fetch(
                self.endpoint,
                json={"_params": {"_fields": "id"}},
                path=f"{record_id}/",
                is_list=False,
            )
        except CloseApiError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return bool(row.get("id") == record_id)  # where a merged lead was, Close may answer with the other


def tombstone(record_id: str, cursor_field: str, deletion: Deletion) -> Row:
    """The row that says that a record was deleted.

    Destinations keep the row with the newest cursor value, so it has the record's own creation date where that is the
    cursor and the log knows it, else the moment of the deletion.
    """
    moment = format_moment(deletion.moment)
    value = deletion.date_created if cursor_field == "date_created" else None
    return {"id": record_id, cursor_field: value or moment, DELETED_AT: moment}
