"""Judges answers: what is whole, what is tried again, what a failure means and what to do."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests
from airbyte_cdk.models import FailureType, StreamDescriptor
from airbyte_cdk.sources.declarative.interpolation import InterpolatedString
from airbyte_cdk.sources.declarative.requesters.error_handlers import DefaultErrorHandler
from airbyte_cdk.sources.streams.http.error_handlers import ErrorResolution, ResponseAction
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_close.components.rate_limiter import seconds_told
from source_close.sync import KEY_REFUSED, Sync

_ANSWER, _BAD_REQUEST, _UNAUTHORIZED, _LONGEST_QUOTE = "close_answer", 400, 401, 300


class UnreadableAnswerError(requests.RequestException):
    """An answer whose body is cut short, is no JSON, or is not what was asked for."""


class CloseApiError(AirbyteTracedException):
    """A stream can't be read on. ``text`` says what happened, what it means and what to do."""

    def __init__(self, stream: str, text: str, failure_type: FailureType = FailureType.transient_error) -> None:
        message = f"Stream {stream}: {text}"
        super().__init__(message, message, failure_type, stream_descriptor=StreamDescriptor(stream))
        self.text = text

    def for_stream(self, stream: str) -> "CloseApiError":
        """The same, as the end of another stream, or of another part of this one."""
        return CloseApiError(stream, self.text, self.failure_type)


@dataclass
class CloseErrorHandler(DefaultErrorHandler):
    """The manifest's error table, with Close's own words in every message and a look at the body of answers.

    ``DefaultErrorHandler`` takes half a JSON under a 200 for an answer, which then ends the stream. Its filters by the
    text of an error parse the body of every success too: a sixth of the time of a full read. And each window of a
    stream would try for itself whether an endpoint is still down. ``passes_on`` says what answers the retriever copes
    with: a status and what its body must match. A request is tried for ``max_seconds``, a template over the config.
    """

    name: str = ""
    no_answer_message: str = ""
    passes_on: Mapping[str, str] = field(default_factory=dict)
    max_seconds: str = "600"

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._sync = Sync.of(self.config)
        self._patience = float(InterpolatedString.create(self.max_seconds, parameters=parameters).eval(self.config))
        self.max_time = int(self._patience) + 60  # of the CDK, for one that fails while others like it go well

    def interpret_response(self, response_or_exception: requests.Response | Exception | None) -> ErrorResolution:
        """What to do about an answer, or the lack of one; raises ``CloseApiError`` if nothing helps.

        Of a FAIL the CDK would print the answer, key and all; of a RATE_LIMITED a status, past the queue of messages.
        """
        answer: Any = TimeoutError() if response_or_exception is None else response_or_exception
        status = answer.status_code if isinstance(answer, requests.Response) else None
        what = vars(self._sync.sending).pop("request", "A request")
        key, now, waits = (self.name, what), time.monotonic(), ""
        self._sync.limiter.answered(what, answer if status else None)
        found = ErrorResolution(ResponseAction.RETRY, error_message=self.no_answer_message)
        if status:
            self._sync.compare_clocks(answer)
            try:
                answer_of(answer)
            except UnreadableAnswerError as unreadable:
                answer = unreadable
            else:
                pattern = self.passes_on.get(str(status))
                if answer.ok or (pattern is not None and re.search(pattern, answer.text, re.IGNORECASE | re.DOTALL)):
                    self._sync.failing_since.pop(key, None)
                    return ErrorResolution(ResponseAction.SUCCESS)
                found = super().interpret_response(answer)
        is_final = found.response_action == ResponseAction.FAIL
        # What is worth a retry passes by.
        failure_type = found.failure_type or FailureType.system_error if is_final else FailureType.transient_error
        if found.response_action == ResponseAction.RATE_LIMITED and (told := seconds_told(answer)) > self._patience:
            is_final, waits = True, f" It asked to wait for {told:.0f} s more."
        is_final |= now - self._sync.failing_since.setdefault(key, now) > self._patience
        text = filter_secrets(f"{what} {describe(answer)}.{waits} {found.error_message or ''}".strip())
        error = CloseApiError(self.name, text, failure_type)
        if is_final:
            self._sync.ended[KEY_REFUSED if status == _UNAUTHORIZED else key] = error
            raise error
        return ErrorResolution(ResponseAction.RETRY, failure_type, error.message)


def answer_of(response: requests.Response | None) -> dict[str, Any]:
    """The JSON object in an answer, parsed once however often it is asked for; of errors but a 400 an empty one.

    Raises ``UnreadableAnswerError`` if it is no complete JSON object, or a success without records and without an id.
    """
    assert response is not None  # noqa: S101 - the error handler ignores no answer
    found: dict[str, Any] | None = getattr(response, _ANSWER, None)
    if found is None:
        body, is_object = response.content, response.status_code == _BAD_REQUEST and response.content.startswith(b"{")
        try:
            answer = orjson.loads(body) if response.ok or is_object else {}
        except orjson.JSONDecodeError as error:
            problem = f"the answer ({response.status_code}) is no complete JSON ({len(body)} bytes: {error})"
            raise UnreadableAnswerError(problem) from None
        found = answer if isinstance(answer, dict) else {type(answer).__name__: answer}
        rows = found.get("data")
        are_records = isinstance(rows, list) and all(isinstance(row, dict) and "id" in row for row in rows)
        if response.ok and not are_records and "id" not in found:
            fields = ", ".join(found)[:100] or "nothing"
            raise UnreadableAnswerError(f"the answer holds no records under data (only: {fields})")
        setattr(response, _ANSWER, found)
    return found


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
    except orjson.JSONDecodeError:
        words = " ".join(answer.text.split())
    quote = filter_secrets(words)[:_LONGEST_QUOTE]  # in this order: no half a key
    return f"answered {answer.status_code}" + (f": «{quote}»" if quote else " without a text")


def _texts(body: Any, name: str = "") -> list[str]:
    """Close's own words in an error body of any of its forms, e.g. ``{"field-errors": {"_limit": "…"}}``."""
    if isinstance(body, dict | list):
        entries = body.items() if isinstance(body, dict) else [(name, entry) for entry in body]
        return [text for key, entry in entries for text in _texts(entry, key)]
    return [str(body) if name in {"", "error", "errors", "message"} else f"{name}: {body}"]
