"""An account as the probe sees it: requests through the connector's own transport, and what came back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests
from airbyte_cdk.sources.declarative.models.declarative_component_schema import HttpRequester

from source_close.errors import UNAUTHORIZED, CloseApiError, _texts
from source_close.source import SourceClose
from source_close.transport import Transport
from source_close.windows import Row

_RETRY_SECONDS = 20.0
_LONGEST_QUOTE = 160
_OK, _BAD_REQUEST = 200, 400
ROWS_A_CHAIN = 10_000


@dataclass(frozen=True)
class Answer:
    """An answer of Close; `body` is empty where it refused."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    raw: str = field(default="", repr=False)

    @property
    def is_refusal(self) -> bool:
        """Whether Close did not give what was asked for."""
        return self.status >= _BAD_REQUEST

    @property
    def rows(self) -> list[Row]:
        """The records of a list."""
        return list(self.body.get("data") or [])

    @property
    def quote(self) -> str:
        """Close's own words."""
        try:
            words = "; ".join(_texts(orjson.loads(self.raw)))
        except orjson.JSONDecodeError:
            words = "no JSON"
        return f"{self.status} «{words[:_LONGEST_QUOTE]}»"


class RefusedError(Exception):
    """Close refused what a question needs before it can be asked."""

    def __init__(self, answer: Answer) -> None:
        """Take the answer."""
        super().__init__(answer.quote)


class Account:
    """Sends reads, one at a time. Everything is kept in memory, and nothing but shapes and counts is told of it."""

    def __init__(self, config: Mapping[str, Any], *, rows_a_chain: int = ROWS_A_CHAIN) -> None:
        """Take a connector's config; `rows_a_chain` is where a chain of search cursors is said to end."""
        self.rows_a_chain = rows_a_chain
        self.source = SourceClose(config=config)
        self.transport = Transport(max_in_flight=1, user_agent="source-close probe", retry_seconds=_RETRY_SECONDS)
        self.transport._session.hooks["response"].append(self._take_note)
        self.requests = 0
        self.rate_limits: Counter[str] = Counter()
        self._requesters: dict[str, Any] = {}

    def get(self, path: str, *, may_refuse: bool = False, **params: Any) -> Answer:
        """`GET` a path such as `task/`."""
        return self._ask("base_requester", path, may_refuse=may_refuse, params=params)

    def by_post(self, path: str, *, may_refuse: bool = False, **params: Any) -> Answer:
        """The same by a POST that stands for a GET, with the parameters in its body."""
        return self._ask("by_ids_requester", path, may_refuse=may_refuse, json={"_params": params})

    def search(self, object_type: str, *conditions: Row, may_refuse: bool = False, **body: Any) -> Answer:
        """`POST /data/search/` for the objects of a type that meet all conditions."""
        query = {"type": "and", "queries": [{"type": "object_type", "object_type": object_type}, *conditions]}
        return self._ask("search", "data/search/", may_refuse=may_refuse, json={"query": query, **body})

    def _ask(self, requester: str, path: str, *, may_refuse: bool, **content: Any) -> Answer:
        try:
            asked = {"path": path, "is_list": False, **content}
            endpoint = self.transport.endpoint(self._requester(requester), f"probe of {path}")
            body = self.transport.fetch(endpoint, **asked)
        except CloseApiError as error:
            if error.status is None or error.status == UNAUTHORIZED:
                raise
            answer = Answer(error.status, raw=error.text)
            if may_refuse:
                return answer
            raise RefusedError(answer) from error
        return Answer(_OK, body)

    def _requester(self, name: str) -> Any:
        if name not in self._requesters:
            definitions = self.source.resolved_manifest["definitions"]
            definition = {
                **definitions["base_requester" if name == "search" else name],
                "url": "{{ config['base_url'] }}/",
            }
            if name == "search":
                definition["http_method"] = "POST"
            create = self.source._constructor.create_component
            self._requesters[name] = create(HttpRequester, definition, self.source._config, name="probe")
        return self._requesters[name]

    def _take_note(self, response: requests.Response, **_: Any) -> None:
        self.requests += 1
        self.rate_limits[response.headers.get("ratelimit", "").split(",")[0]] += 1
