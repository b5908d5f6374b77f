"""A request to the server, which is also its entry in the log."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson


@dataclass
class Request:
    """One request.

    `path` is the part after `/api/v1`. `query` contains the parameters of the URL and of `_params`. `json` is the JSON
    body, or None. A POST with `x-http-method-override: GET` has the `effective_method` GET. `status` is 0 until the
    server has a response, and stays 0 if the server breaks the connection instead. `in_flight` counts the requests in
    flight at the start, including this request.
    """

    method: str
    path: str
    query: dict[str, str]
    json: Any
    headers: dict[str, str]
    effective_method: str
    in_flight: int = 1
    status: int = 0

    @classmethod
    def of(cls, method: str, path: str, query: str, headers: dict[str, str], raw: bytes) -> "Request":
        """Parse a request; the names in `headers` are in lower case."""
        body = orjson.loads(raw) if raw else None
        request = cls(method, path, dict(parse_qsl(query, keep_blank_values=True)), body, headers, method)
        if method == "POST" and headers.get("x-http-method-override", "").upper() == "GET":
            request.effective_method = "GET"
            if isinstance(request.json, dict):
                request.query |= {name: str(value) for name, value in request.json.get("_params", {}).items()}
        return request
