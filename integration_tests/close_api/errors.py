"""Responses, and the errors in Close's two forms."""

from dataclasses import dataclass
from typing import Any

import orjson

from .settings import Wording


@dataclass
class Response:
    """A response; the server adds its content-length."""

    status: int
    body: bytes
    headers: dict[str, str]


class ApiError(Exception):
    """An error response, raised where the server finds that a request is wrong."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(f"HTTP {status}")
        self.response = json_response(body, status)


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response; bytes are sent unchanged."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(status, content, {"content-type": "application/json"} | (headers or {}))


def plain(status: int, text: str) -> ApiError:
    """Return an error in the older form: `{"error": text}`."""
    return ApiError(status, {"error": text})


def field_errors(errors: dict[str, Any]) -> ApiError:
    """Return an error in the newer form: `{"errors": [], "field-errors": {name: text}}`."""
    return ApiError(400, {"errors": [], "field-errors": errors})


def too_large(name: str, maximum: int, wording: Wording) -> ApiError:
    """Return the error for a `_skip` or `_limit` above its maximum."""
    if wording == "new":
        return field_errors({name: f"Input should be less than or equal to {maximum}"})
    word = name.removeprefix("_")
    advice = " Please refine your search query." if name == "_skip" else ""
    text = f"The {word} you set is larger than the maximum {word} for this resource (max_{word} = {maximum}).{advice}"
    return plain(400, text)
