"""Judges answers: what is whole and gets on, what is tried again, what a failure means and what to do."""

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

from source_close.components.rate_limiter import wait_seconds
from source_close.sync import KEY_REFUSED, Sync

REFUSED_REDIRECT = "x-refused-redirect"  # the header in which an answer keeps where it led to
_ANSWER, _LONGEST_QUOTE, _MOST_REPETITIONS = "close_answer", 300, 2
_SUCCESS, _BAD_REQUEST, _UNAUTHORIZED, _PROXY_PASSWORD = range(200, 300), 400, 401, 407
_SAYS_WHETHER_MORE_FOLLOWS = {"has_more", "cursor", "cursor_next"}
_ANY_CASE, _PAGE = re.IGNORECASE | re.DOTALL, re.compile(r"_(skip|cursor)=[^&]*")
_LIMIT = re.compile(r"\b_limit=(\d\d?|100)\b")  # of lists by pages; some that are asked for 1,000 have no pages


class UnreadableResponseError(requests.RequestException):
    """An answer that is cut short, no JSON, or a success without records or ids."""


class CloseApiError(AirbyteTracedException):
    """A stream can't be read on. ``text`` says what happened, what it means and what to do."""

    def __init__(self, stream: str, text: str, failure_type: FailureType = FailureType.transient_error) -> None:
        message = f"Stream {stream}: {text}"
        super().__init__(message, message, failure_type, stream_descriptor=StreamDescriptor(stream))
        self.text, self.is_not_found = text, " answered 404" in text or " answered 405" in text


@dataclass
class CloseErrorHandler(DefaultErrorHandler):
    """The manifest's error table, with Close's own words in every message and a look at the body of answers.

    ``DefaultErrorHandler`` takes half a JSON under a 200; its filters by text parse every success, a sixth of a full
    read; and each window would try anew whether an endpoint is down. ``accepted_errors`` are those that the retriever
    copes with: by status a pattern for the body. ``max_seconds``, how long a request is tried, is a template.
    """

    name: str = ""
    no_response_message: str = ""
    unreadable_response_message: str = ""
    accepted_errors: Mapping[str, str] = field(default_factory=dict)
    max_seconds: str = "600"

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._sync = Sync.of(self.config)
        self._patience = float(InterpolatedString.create(self.max_seconds, parameters=parameters).eval(self.config))
        self.max_time = int(self._patience) + 60  # of the CDK, for one that fails while others like it go well

    def interpret_response(self, response_or_exception: requests.Response | Exception | None) -> ErrorResolution:
        """What to do about an answer, or the lack of one; raises ``CloseApiError`` if nothing helps."""
        # Of a FAIL the CDK would print the answer, key and all; of a RATE_LIMITED a status, past the queue of messages.
        answer: Any = TimeoutError() if response_or_exception is None else response_or_exception
        if isinstance(answer, requests.exceptions.ProxyError) and str(_PROXY_PASSWORD) in str(answer):
            answer = requests.Response()  # the proxy's, of which requests only tells
            answer.status_code = _PROXY_PASSWORD
        status = answer.status_code if isinstance(answer, requests.Response) else None
        what = vars(self._sync.sending).pop("request", "A request")
        key, now, waits = (self.name, what), time.monotonic(), ""
        self._sync.limiter.record_response(what, answer if status else None)
        found = ErrorResolution(ResponseAction.RETRY, error_message=self.no_response_message)
        if status:
            self._sync.compare_clocks(answer)
            try:
                body, pattern = response_json(answer), self.accepted_errors.get(str(status))
                if status in _SUCCESS or (pattern is not None and re.search(pattern, answer.text, _ANY_CASE)):
                    self._sync.failing_since.pop(key, None)
                    self._check_progress(answer, body, what)
                    return ErrorResolution(ResponseAction.SUCCESS)
                found = super().interpret_response(answer)
            except UnreadableResponseError as unreadable:
                answer = unreadable
                found = ErrorResolution(ResponseAction.RETRY, error_message=self.unreadable_response_message)
        is_final = found.response_action == ResponseAction.FAIL  # what is worth a retry passes by
        failure_type = found.failure_type or FailureType.system_error if is_final else FailureType.transient_error
        if found.response_action == ResponseAction.RATE_LIMITED and (told := wait_seconds(answer)) > self._patience:
            is_final, waits = True, f" It asked to wait for {told:.0f} s more."
        is_final |= now - self._sync.failing_since.setdefault(key, now) > self._patience
        text = filter_secrets(f"{what} {describe(answer)}.{waits} {found.error_message or ''}".strip())
        error = CloseApiError(self.name, text, failure_type)
        if is_final:
            self._sync.ended[KEY_REFUSED if status == _UNAUTHORIZED else key] = error
            raise error
        return ErrorResolution(ResponseAction.RETRY, failure_type, error.message)

    def _check_progress(self, answer: requests.Response, body: Mapping[str, Any], what: str) -> None:
        """Raise ``CloseApiError`` when pages that should lead on bring what this thread has just read."""
        # By cursor they may go in circles, so any page of the read counts; by offset, stepping back, only the last.
        known, repetitions = vars(self._sync.sending).pop("pages", (frozenset[int](), 0))
        cursor, rows = body.get("cursor_next") or body.get("cursor"), body.get("data") or []
        if cursor and "cursor" not in f"{answer.url} {getattr(answer.request, 'body', None)!r}":
            known, repetitions = frozenset(), 0  # a read begins, perhaps where one ended early
        if (cursor or body.get("has_more")) and "count" not in body:
            page = hash((self.name, _PAGE.sub("", answer.url or ""), *(row["id"] for row in rows)))
            repetitions = repetitions + 1 if page in known else 0
            self._sync.sending.pages = (known if cursor else frozenset()) | {page}, repetitions
            if repetitions > _MOST_REPETITIONS:
                problem = f"{what}: the list repeats itself, {len(rows)} records and more to follow."
                raise CloseApiError(self.name, f"{problem} {self.unreadable_response_message}")


def response_json(response: Any) -> dict[str, Any]:
    """The JSON object in an answer, parsed once, of errors but a 400 empty; may raise ``UnreadableResponseError``."""
    found: dict[str, Any] | None = getattr(response, _ANSWER, None)
    if found is None:
        body, status = response.content or b"", response.status_code
        try:
            answer = _loads(body) if status in _SUCCESS or (status == _BAD_REQUEST and body.startswith(b"{")) else {}
        except (ValueError, RecursionError) as error:
            problem = f"the answer ({status}) is no complete JSON ({len(body)} bytes: {error})"
            raise UnreadableResponseError(problem) from None
        found = answer if isinstance(answer, dict) else {type(answer).__name__: answer}
        if status in _SUCCESS:
            _check_records(found, response.url or "")
        setattr(response, _ANSWER, found)
    return found


def _loads(body: bytes) -> Any:
    """What orjson reads, and what only Python's own JSON does: half a surrogate becomes U+FFFD, NaN null."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        text = json.dumps(json.loads(body, parse_constant=lambda _: None), ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _check_records(found: Mapping[str, Any], url: str) -> None:
    rows, limit = found.get("data", [found] if "id" in found else None), _LIMIT.search(url)
    if not isinstance(rows, list):
        fields = ", ".join(found)[:100] or "nothing"
        raise UnreadableResponseError(f"the answer holds no records under data (only: {fields})")
    if not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
        raise UnreadableResponseError("the answer holds a record without an id, or with one that is no text")
    if limit and len(rows) >= int(limit[1]) and not _SAYS_WHETHER_MORE_FOLLOWS & found.keys():
        raise UnreadableResponseError("the answer is a full page that does not say whether more follow")


def describe(answer: requests.Response | Exception) -> str:
    """E.g. ``answered 403: «Forbidden»`` or ``failed: Read timed out``; never with the key in it."""
    if isinstance(answer, Exception):
        cause: BaseException = answer  # libraries nest it three deep, and show addresses of objects
        while inner := cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__):
            cause = inner
        words = (str(cause) or type(cause).__name__).rsplit(">: ", 1)[-1]
        return f"failed: {filter_secrets(words)[:_LONGEST_QUOTE]}"
    try:
        words = "; ".join(_texts(orjson.loads(answer.content)))
    except (orjson.JSONDecodeError, RecursionError):
        words = " ".join(answer.text.split())
    if REFUSED_REDIRECT in answer.headers:
        words = f"it leads to {answer.headers[REFUSED_REDIRECT]}"
    quote = filter_secrets(words)[:_LONGEST_QUOTE]  # in this order: no half a key
    return f"answered {answer.status_code}" + (f": «{quote}»" if quote else " without a text")


def _texts(body: Any, name: str = "") -> list[str]:
    """Close's own words in an error body of any of its forms, e.g. ``{"field-errors": {"_limit": "…"}}``."""
    if isinstance(body, dict | list):
        entries = body.items() if isinstance(body, dict) else [(name, entry) for entry in body]
        return [text for key, entry in entries for text in _texts(entry, key)]
    return [str(body) if name in {"", "error", "errors", "message"} else f"{name}: {body}"]
