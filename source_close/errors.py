"""What a failed request says: what happened, what it means, what to do."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from airbyte_cdk.models import AirbyteMessage, FailureType, StreamDescriptor
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

BAD_REQUEST = 400
UNAUTHORIZED = 401
NOT_FOUND = 404
PERMISSION_STATUSES = frozenset({402, 403})
_LONGEST_QUOTE = 300


class CloseApiError(AirbyteTracedException):
    """Close answered, or failed to answer, in a way that retries don't cure.

    ``status`` is the HTTP status, or None where there was no answer; ``text`` is the body as Close sent it.
    """

    def __init__(
        self, *, message: str, failure_type: FailureType, stream: str, status: int | None = None, text: str = ""
    ) -> None:
        super().__init__(
            message=message,
            internal_message=message,
            failure_type=failure_type,
            stream_descriptor=StreamDescriptor(name=stream),
        )
        self.status = status
        self.text = text
        self.stream = stream

    def __repr__(self) -> str:
        """The message: the CDK quotes exceptions by this when it sums up a sync."""
        return str(self)

    def for_stream(self, stream: str) -> CloseApiError:
        """The same, as the end of another stream."""
        return CloseApiError(
            message=f"Stream {stream}: {str(self).removeprefix(f'Stream {self.stream}: ')}",
            failure_type=self.failure_type,
            status=self.status,
            text=self.text,
            stream=stream,
        )

    def as_airbyte_message(self, stream_descriptor: StreamDescriptor | None = None) -> AirbyteMessage:
        """The trace, without a stack: nothing went wrong in the code."""
        return without_stack(super().as_airbyte_message(stream_descriptor))


def without_stack(trace: AirbyteMessage) -> AirbyteMessage:
    """An error's trace without its stack, for errors whose message says all."""
    if trace.trace is not None and trace.trace.error is not None:
        trace.trace.error.stack_trace = None
    return trace


def describe_request(request: requests.PreparedRequest) -> str:
    """Method and path, e.g. ``GET /api/v1/activity/``: no host, no query, no header."""
    return f"{request.method} {urlsplit(request.url or '').path}"


def describe_answer(answer: requests.Response | Exception) -> str:
    """What came back, e.g. ``answered 403: «Forbidden»`` or ``failed: Read timed out``; never with the key in it."""
    if isinstance(answer, requests.Response):
        quote = vendor_text(answer)
        return f"answered {answer.status_code}" + (f": «{quote}»" if quote else " without a text")
    return f"failed: {without_key(_plain(answer), getattr(answer, 'request', None))[:_LONGEST_QUOTE]}"


def without_key(text: str, request: requests.PreparedRequest | None) -> str:
    """``text`` without the key that ``request`` carried: a server or a proxy may repeat what it was sent."""
    authorization = (request.headers.get("Authorization") if request is not None else None) or ""
    scheme, _, encoded = authorization.partition(" ")
    if not encoded:
        return text
    key = base64.b64decode(encoded).decode(errors="replace").rstrip(":") if scheme == "Basic" else ""
    for secret in (encoded, encoded.rstrip("="), key):
        if secret:
            text = text.replace(secret, "****")
    return text


def vendor_text(response: requests.Response) -> str:
    """Close's own words in an error body of any of its forms; of HTML or other text the beginning."""
    try:
        words = "; ".join(_texts(orjson.loads(response.content)))
    except orjson.JSONDecodeError:
        words = " ".join(response.text.split())
    return without_key(words, getattr(response, "request", None))[:_LONGEST_QUOTE]  # before it is cut: no half a key


def _texts(body: Any) -> list[str]:
    if isinstance(body, str):
        return [body]
    if isinstance(body, list):
        return [text for entry in body for text in _texts(entry)]
    if isinstance(body, dict):
        error, fields = body.get("error"), body.get("field-errors")
        found = _texts(error.get("message") if isinstance(error, dict) else error) + _texts(body.get("errors"))
        if isinstance(fields, dict):
            found += [f"{name}: {text}" for name, entry in fields.items() for text in _texts(entry)]
        return found
    return []


def _plain(error: Exception) -> str:
    """The cause of a network error in a few words: libraries nest it three deep and show addresses of objects."""
    cause: BaseException = error
    while (inner := cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)) is not None:
        cause = inner
    text = str(cause) or type(cause).__name__
    return text.rsplit(">: ", 1)[-1]
