"""Error responses in Close's two forms."""

from collections.abc import Iterable
from typing import Any

import orjson
from starlette.responses import Response

from .settings import Wording


class ApiError(Exception):
    """An error response, raised where the server finds that a request is wrong."""

    def __init__(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.headers = headers

    def response(self) -> Response:
        """Return the HTTP response."""
        return json_response(self.body, self.status, self.headers)


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response; bytes are sent unchanged."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(content, status, headers, media_type="application/json")


def plain(status: int, text: str) -> ApiError:
    """Return an error in the older form: `{"error": text}`."""
    return ApiError(status, {"error": text})


def method_not_allowed(allowed: Iterable[str]) -> ApiError:
    """Return the error for a method that a path does not have."""
    return ApiError(405, {"error": "Method not allowed."}, {"allow": ", ".join(allowed)})


def field_errors(errors: dict[str, Any], status: int = 400) -> ApiError:
    """Return an error in the newer form: `{"errors": [], "field-errors": {name: text}}`."""
    return ApiError(status, {"errors": [], "field-errors": errors})


def too_large(name: str, maximum: int, wording: Wording) -> ApiError:
    """Return the error for a `_skip` or `_limit` above its maximum."""
    if wording == "new":
        return field_errors({name: f"Input should be less than or equal to {maximum}"})
    word = name.removeprefix("_")
    advice = " Please refine your search query." if name == "_skip" else ""
    return plain(
        400, f"The {word} you set is larger than the maximum {word} for this resource (max_{word} = {maximum}).{advice}"
    )
