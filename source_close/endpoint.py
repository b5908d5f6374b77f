"""What the requests of a stream have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from airbyte_cdk.sources.streams.http.error_handlers import ErrorHandler


@dataclass(frozen=True)
class Endpoint:
    """A requester of the manifest, evaluated once: to do so for each page takes as long as to send the request.

    Attributes:
        stream: name of the stream.
        base: the request without parameters and body; it has method, url, headers and the key.
        params: parameters that every request has.
        error_handler: says what answers are retried and what the others mean.
    """

    stream: str
    base: requests.PreparedRequest
    params: Mapping[str, Any]
    error_handler: ErrorHandler

    def request(
        self, params: Mapping[str, Any] | None = None, json: Mapping[str, Any] | None = None, path: str = ""
    ) -> requests.PreparedRequest:
        """One request; ``params`` come on top of the endpoint's, ``path`` is appended to its url."""
        request = self.base.copy()
        request.prepare_url(f"{self.base.url}{path}", {**self.params, **(params or {})})
        if json is not None:
            request.prepare_body(None, None, json)
        return request
