"""Decide for each response whether it is used, retried or an error, and say what the error means and what to do."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests
from airbyte_cdk import AirbyteTracedException, FailureType, InterpolatedString
from airbyte_cdk.models import StreamDescriptor
from airbyte_cdk.sources.declarative.requesters.error_handlers import DefaultErrorHandler
from airbyte_cdk.sources.streams.http.error_handlers import ErrorResolution, ResponseAction
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_close.api.rate_limits import wait_seconds
from source_close.api.sync import KEY_REFUSED, Sync

FORBIDDEN = {402, 403}  # the plan or the user's role does not include what is requested
REFUSED_REDIRECT = "x-refused-redirect"  # the response header that keeps the target of a redirect
_JSON, _MAX_QUOTE, _MAX_REPETITIONS, _TRANSIENT = "close_json", 300, 2, FailureType.transient_error
_SUCCESS, _BAD_REQUEST, _UNAUTHORIZED, _PROXY_PASSWORD = range(200, 300), 400, 401, 407
_SAYS_WHETHER_MORE_FOLLOWS = {"has_more", "cursor", "cursor_next"}
_ANY_CASE, _PAGE = re.IGNORECASE | re.DOTALL, re.compile(r"_(skip|cursor)=[^&]*")
_LIMIT = re.compile(r"\b_limit=(\d\d?|100)\b")  # up to 100; lists read with a limit of 1,000 may have no has_more


class UnreadableResponseError(requests.RequestException):
    """A response that is cut short or not JSON, a 2xx without records or ids, or a full page without ``has_more``."""


class CloseApiError(AirbyteTracedException):
    """The stream can't be read further: ``text`` says why and what to do; ``status`` is 0 without a response."""

    def __init__(self, stream: str, text: str, failure_type: FailureType = _TRANSIENT, status: int = 0) -> None:
        message = f"Stream {stream}: {text}"
        super().__init__(message, message, failure_type, stream_descriptor=StreamDescriptor(stream))
        self.text, self.status = text, status


@dataclass
class CloseErrorHandler(DefaultErrorHandler):
    """Applies the manifest's error table, quotes Close's own words in every message, and checks the body of responses.

    ``DefaultErrorHandler`` accepts half a JSON document in a 200; its text filters parse every response, a sixth of a
    full read; each window would retry an endpoint that is down. ``accepted_errors`` maps a status to a regex: errors
    whose body matches it are left to the retriever. ``max_seconds`` (a template) is how long a request is retried.
    """

    name: str = ""
    no_response_message: str = ""
    unreadable_response_message: str = ""
    accepted_errors: Mapping[str, str] = field(default_factory=dict)
    max_seconds: str = "600"

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._sync = Sync.of(self.config)
        self._time_limit = float(InterpolatedString.create(self.max_seconds, parameters=parameters).eval(self.config))
        self.max_time = int(self._time_limit) + 60  # for a request that fails while others to its endpoint succeed

    def interpret_response(self, response_or_exception: requests.Response | Exception | None) -> ErrorResolution:
        """Return SUCCESS or RETRY. Raise ``CloseApiError`` if a retry would not help or ``max_seconds`` have passed."""
        # Not FAIL: the CDK logs the response, maybe with the key. Not RATE_LIMITED: it prints past the message queue.
        response: Any = TimeoutError() if response_or_exception is None else response_or_exception
        if isinstance(response, requests.exceptions.ProxyError) and f"failed: {_PROXY_PASSWORD} " in str(response):
            response = requests.Response()  # requests raises instead of returning the proxy's response
            response.status_code = _PROXY_PASSWORD
        status = response.status_code if isinstance(response, requests.Response) else None
        what = vars(self._sync.sending).pop("request", "A request")
        key, now, waits = (self.name, what), time.monotonic(), ""
        self._sync.limiter.record_response(what, response if status else None)
        found = ErrorResolution(ResponseAction.RETRY, error_message=self.no_response_message)
        if status:
            self._sync.compare_clocks(response)
            try:
                body, pattern = response_json(response), self.accepted_errors.get(str(status))
                if status in _SUCCESS or (pattern is not None and re.search(pattern, response.text, _ANY_CASE)):
                    self._sync.failing_since.pop(key, None)
                    self._check_progress(response, body, what)
                    return ErrorResolution(ResponseAction.SUCCESS)
                found = super().interpret_response(response)
            except UnreadableResponseError as unreadable:
                response = unreadable
                found = ErrorResolution(ResponseAction.RETRY, error_message=self.unreadable_response_message)
        is_final = found.response_action == ResponseAction.FAIL  # a retry may help in all other cases
        failure_type = found.failure_type or FailureType.system_error if is_final else FailureType.transient_error
        if found.response_action == ResponseAction.RATE_LIMITED and (wait := wait_seconds(response)) > self._time_limit:
            is_final, waits = True, f" It asks to wait {wait:.0f} s."
        is_final |= now - self._sync.failing_since.setdefault(key, now) > self._time_limit
        text = filter_secrets(f"{what} {describe(response)}.{waits} {found.error_message or ''}".strip())
        error = CloseApiError(self.name, text, failure_type, status or 0)
        if is_final:
            self._sync.given_up[KEY_REFUSED if status == _UNAUTHORIZED else key] = error
            raise error
        return ErrorResolution(ResponseAction.RETRY, failure_type, error.message)

    def _check_progress(self, response: requests.Response, body: Mapping[str, Any], what: str) -> None:
        """Raise ``CloseApiError`` if a list repeats pages that this thread has just read."""
        # Cursors may go in circles: compare all pages of the read. Offsets may step back: compare only the last page.
        known, repetitions = vars(self._sync.sending).pop("pages", (frozenset[int](), 0))
        cursor, rows = body.get("cursor_next") or body.get("cursor"), body.get("data") or []
        if cursor and "cursor" not in f"{response.url} {getattr(response.request, 'body', None)!r}":
            known, repetitions = frozenset(), 0  # the first page of a read
        if (cursor or body.get("has_more")) and "count" not in body:
            page = hash((self.name, _PAGE.sub("", response.url or ""), *(row["id"] for row in rows)))
            repetitions = repetitions + 1 if page in known else 0
            self._sync.sending.pages = (known if cursor else frozenset()) | {page}, repetitions
            if repetitions > _MAX_REPETITIONS:
                problem = f"{what}: the list repeats the same page of {len(rows)} records and says that more follow."
                raise CloseApiError(self.name, f"{problem} {self.unreadable_response_message}")


def response_json(response: Any) -> dict[str, Any]:
    """Return a response's JSON object, parsed once; ``{}`` for errors but 400. Raise ``UnreadableResponseError``."""
    found: dict[str, Any] | None = getattr(response, _JSON, None)
    if found is None:
        body, status = response.content or b"", response.status_code
        try:
            value = _loads(body) if status in _SUCCESS or (status == _BAD_REQUEST and body.startswith(b"{")) else {}
        except (ValueError, RecursionError) as error:
            problem = f"the response ({status}) is not complete JSON ({len(body)} bytes: {error})"
            raise UnreadableResponseError(problem) from None
        found = value if isinstance(value, dict) else {type(value).__name__: value}
        if status in _SUCCESS:
            _check_records(found, response.url or "")
        setattr(response, _JSON, found)
    return found


def _loads(body: bytes) -> Any:
    """Parse JSON, also with what orjson rejects: half a surrogate pair becomes U+FFFD, NaN and Infinity null."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        text = json.dumps(json.loads(body, parse_constant=lambda _: None), ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _check_records(found: Mapping[str, Any], url: str) -> None:
    rows, limit = found.get("data", [found] if "id" in found else None), _LIMIT.search(url)
    if not isinstance(rows, list):
        fields = ", ".join(found)[:100] or "nothing"
        raise UnreadableResponseError(f"the response has no list of records in data, only: {fields}")
    if not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
        raise UnreadableResponseError("the response has a record whose id is missing or not a text")
    if limit and len(rows) >= int(limit[1]) and not _SAYS_WHETHER_MORE_FOLLOWS & found.keys():
        raise UnreadableResponseError("the response is a full page and does not say whether more records follow")


def describe(response: requests.Response | Exception) -> str:
    """Return e.g. ``answered 403: «Forbidden»`` or ``failed: Read timed out``, without the key."""
    if isinstance(response, Exception):
        cause: BaseException = response  # the innermost: libraries nest them, and the outer ones show object addresses
        while inner := cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__):
            cause = inner
        words = (str(cause) or type(cause).__name__).rsplit(">: ", 1)[-1]
        return f"failed: {filter_secrets(words)[:_MAX_QUOTE]}"
    try:
        words = "; ".join(_texts(orjson.loads(response.content)))
    except (orjson.JSONDecodeError, RecursionError):
        words = " ".join(response.text.split())
    if REFUSED_REDIRECT in response.headers:
        words = f"redirect to {response.headers[REFUSED_REDIRECT]}"
    quote = filter_secrets(words)[:_MAX_QUOTE]  # before the cut, which could leave half a key
    return f"answered {response.status_code}" + (f": «{quote}»" if quote else " without a text")


def _texts(body: Any, name: str = "") -> list[str]:
    """Return the texts in an error body of any form, e.g. ``{"field-errors": {"_limit": "…"}}``."""
    if isinstance(body, dict | list):
        entries = body.items() if isinstance(body, dict) else [(name, entry) for entry in body]
        return [text for key, entry in entries for text in _texts(entry, key)]
    return [str(body) if name in {"", "error", "errors", "message"} else f"{name}: {body}"]
