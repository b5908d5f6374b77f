"""Access to an account: read requests, one at a time, and their responses."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from source_close.source import load_manifest

Row = dict[str, Any]

_TIMEOUT_SECONDS = 45
# Transient errors are retried after the wait that the response asks for.
_RETRIES = Retry(
    total=5,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
)
_LONGEST_QUOTE = 160
_OK = 200
_UNAUTHORIZED = 401
ROWS_A_CHAIN = 10_000


@dataclass(frozen=True)
class Answer:
    """A response of Close."""

    status: int
    raw: str = field(repr=False)

    @property
    def is_refusal(self) -> bool:
        return self.status != _OK

    @property
    def body(self) -> dict[str, Any]:
        """Return the JSON of the response; raise RefusedError if Close rejected the request."""
        if self.is_refusal:
            raise RefusedError(self.quote)
        body: dict[str, Any] = orjson.loads(self.raw)
        return body

    @property
    def rows(self) -> list[Row]:
        return list(self.body.get("data") or [])

    @property
    def quote(self) -> str:
        """Return the status and the beginning of Close's error text."""
        try:
            words = "; ".join(_texts(orjson.loads(self.raw)))
        except orjson.JSONDecodeError:
            words = "no JSON"
        return f"{self.status} «{words[:_LONGEST_QUOTE]}»"


def _texts(body: Any) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict | list):
        for entry in body.values() if isinstance(body, dict) else body:
            yield from _texts(entry)


class RefusedError(Exception):
    """Close rejected a request that a question depends on."""


class WrongKeyError(Exception):
    """Close does not accept the API key, so no question can be asked."""


class Account:
    """Sends read requests, one at a time. Records stay in memory; findings contain only their shapes and counts."""

    def __init__(self, config: Mapping[str, Any], *, rows_per_chain: int = ROWS_A_CHAIN) -> None:
        """Use a connector's config; `rows_per_chain` is the documented length of a chain of search cursors, in rows."""
        self.rows_per_chain = rows_per_chain
        self.definitions: dict[str, Any] = load_manifest()["definitions"]
        self.lookups: dict[str, Any] = self.definitions["lookups"]
        self.requests = 0
        self.rate_limits: Counter[str] = Counter()
        self.clock_lead: timedelta | None = None
        self._base_url = config.get("base_url", "https://api.close.com/api/v1")
        self._session = requests.Session()
        self._session.auth = (config["api_key"], "")
        self._session.headers["User-Agent"] = "source-close probe"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))

    def get(self, path: str, **params: Any) -> Answer:
        """Send a GET to a path such as `task/`."""
        return self._ask("GET", path, params=params)

    def by_post(self, path: str, **params: Any) -> Answer:
        """Send a POST that overrides its method with GET, with the parameters in its body."""
        return self._ask("POST", path, json={"_params": params}, headers={"x-http-method-override": "GET"})

    def search(self, *conditions: Row, **body: Any) -> Answer:
        """Search the leads that meet all conditions: `POST /data/search/`."""
        query = {"type": "and", "queries": [{"type": "object_type", "object_type": "lead"}, *conditions]}
        return self._ask("POST", "data/search/", json={"query": query, **body})

    def _ask(self, method: str, path: str, **content: Any) -> Answer:
        response = self._session.request(method, f"{self._base_url}/{path}", timeout=_TIMEOUT_SECONDS, **content)
        if response.status_code == _UNAUTHORIZED:
            raise WrongKeyError("Close does not accept the API key.")
        self.requests += 1
        self.rate_limits[response.headers.get("ratelimit", "").split(",")[0]] += 1
        if self.clock_lead is None and "date" in response.headers:
            self.clock_lead = datetime.now(timezone.utc) - parsedate_to_datetime(response.headers["date"])
        return Answer(response.status_code, response.text)
