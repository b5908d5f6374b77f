"""Read records by their ids: https://developer.close.com/api/overview/pagination.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airbyte_cdk import Config, HttpRequester, RequestOption

from source_close.api.responses import Row, response_json


@dataclass
class RecordsByIds:
    """Reads records by their ids, ``ids_per_request`` at once.

    ``SubstreamPartitionRouter``, the built-in, reads one record a request.
    """

    config: Config
    requester: HttpRequester
    ids_option: RequestOption
    page_size_option: RequestOption
    ids_per_request: int

    def read(self, ids: Sequence[str]) -> dict[str, Row]:
        """Return the records that exist, by id.

        What an incomplete response lacks is requested again: only what a complete one lacks does
        not exist.
        """
        existing = dict[str, Row]()
        pending = list(ids)
        while pending:
            requested = pending[: self.ids_per_request]
            body = dict[str, Any]()
            self.ids_option.inject_into_request(body, ",".join(requested), self.config)
            self.page_size_option.inject_into_request(body, self.ids_per_request, self.config)
            page = response_json(self.requester.send_request(request_body_json=body))
            found = {row["id"]: row for row in page["data"] if row["id"] in requested}
            existing |= found
            settled = found.keys() if page.get("has_more") else requested
            pending = [record_id for record_id in pending if record_id not in settled]
        return existing
