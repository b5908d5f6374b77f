"""Read records by their ids, from Close's index and, where that may be wrong, one by one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from airbyte_cdk import FailureType, HttpRequester, StreamSlice

from source_close.api.errors import CloseApiError, describe
from source_close.api.responses import Row, response_json

_REFUSED_ID = "POST {path} with a single id {refusal}. Please report this message."
_OTHER_PAGE = "returned a page without that record, and says that more follow"


@dataclass
class RecordsByIds:
    """Reads records by their ids, ``ids_per_request`` at once.

    https://developer.close.com/api/overview/pagination.md. ``GroupingPartitionRouter``, the
    built-in, takes the ids from a stream, and does not ask again for what a response lacks.

    Attributes:
        ids_per_request: how many ids a request may have. It is halved where Close refuses so many.
            Threads share it: if two lower it at once, one more request is refused.
        record_requester: requests a single record. Without it, those in Close's index exist.
    """

    name: str
    requester: HttpRequester
    ids_per_request: int
    record_requester: HttpRequester | None = None

    def read(
        self,
        ids: Sequence[str],
        *,
        alone_if_found: Collection[str] = (),
        alone_if_missing: Collection[str] = (),
    ) -> dict[str, Row]:
        """Return the records that exist, by id.

        Close's index may be late. A request for a record alone is not, but may return the lead into
        which it was merged, which is ignored.

        Args:
            ids: of the records.
            alone_if_found: ids that are requested alone if the index has them.
            alone_if_missing: ids that are requested alone if the index lacks them.

        Raises:
            CloseApiError: if they can't be read.
        """
        existing = self._read_from_index(ids)
        for record_id in ids:
            doubted_ids = alone_if_found if record_id in existing else alone_if_missing
            if self.record_requester and record_id in doubted_ids:
                path = f"{quote(record_id, safe='')}/"
                response: Any = self.record_requester.send_request(path=path)
                rows = response_json(response).get("data", [])
                existing.pop(record_id, None)
                existing |= {row["id"]: row for row in rows if row["id"] == record_id}
        return existing

    # What a response lacks is requested again. If a complete one has none of the records, they do
    # not exist.
    def _read_from_index(self, ids: Sequence[str]) -> dict[str, Row]:
        existing = dict[str, Row]()
        pending = list(ids)
        while pending:
            most_ids = self.ids_per_request
            requested = pending[:most_ids]
            wanted = {"ids": ",".join(requested), "most_ids": most_ids}
            response: Any = self.requester.send_request(
                stream_slice=StreamSlice(partition=wanted, cursor_slice={})
            )
            page = response_json(response)
            found = {row["id"]: row for row in page.get("data", []) if row["id"] in requested}
            existing |= found
            if found:
                pending = [record_id for record_id in pending if record_id not in found]
            elif response.ok and not page.get("has_more"):
                pending = pending[most_ids:]
            else:
                # Close may have refused ``_limit``, which is ``most_ids`` also for the last few.
                self._lower_ids_per_request(len(requested) if response.ok else most_ids, response)
        return existing

    # After a refusal, or a page of other records, such as those into which leads were merged.
    def _lower_ids_per_request(self, number: int, response: requests.Response) -> None:
        if number == 1:
            refusal = _OTHER_PAGE if response.ok else describe(response)
            text = _REFUSED_ID.format(path=urlsplit(response.url).path, refusal=refusal)
            raise CloseApiError(self.name, text, FailureType.system_error)
        self.ids_per_request = min(self.ids_per_request, number // 2)
