"""Read the body of a response once, and check that it is what Close sends."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
import requests

from source_close.api.errors import UnreadableResponseError

Row = dict[str, Any]  # a record as Close returns it

SUCCESS_CODES = range(200, 300)
_PARSED = "close_json"  # the attribute of a response that keeps its parsed body
_SAYS_WHETHER_MORE_FOLLOWS = {"has_more", "cursor", "cursor_next"}
# Up to 100: lists that are read with a limit of 1,000 may have no has_more.
_LIMIT = re.compile(r"\b_limit=(\d\d?|100)\b")


def response_json(response: requests.Response | None) -> dict[str, Any]:
    """Return a response's JSON object; ``{}`` for errors, but for a 400 what it says.

    Raises:
        UnreadableResponseError: if it is not what Close sends.
    """
    if response is None:
        return {}
    if not hasattr(response, _PARSED):
        setattr(response, _PARSED, _parse(response))
    parsed: dict[str, Any] = getattr(response, _PARSED)
    return parsed


def _parse(response: requests.Response) -> dict[str, Any]:
    body = response.content or b""
    status = response.status_code
    is_success = status in SUCCESS_CODES
    is_explained = status == HTTPStatus.BAD_REQUEST and body.startswith(b"{")
    if not (is_success or is_explained):
        return {}
    try:
        value = _loads(body)
    except (ValueError, RecursionError) as error:
        problem = f"the response ({status}) is not complete JSON ({len(body)} bytes: {error})"
        raise UnreadableResponseError(problem) from None
    parsed = value if isinstance(value, dict) else {type(value).__name__: value}
    if is_success:
        _check_records(parsed, response.url or "")
    return parsed


def _loads(body: bytes) -> Any:
    """Parse JSON that orjson rejects, too: half a surrogate pair becomes U+FFFD, NaN null."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        value = json.loads(body, parse_constant=lambda _: None)
        text = json.dumps(value, ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _check_records(parsed: Mapping[str, Any], url: str) -> None:
    rows = parsed.get("data", [parsed] if "id" in parsed else None)
    if not isinstance(rows, list):
        fields = ", ".join(parsed)[:100] or "nothing"
        problem = f"the response has no list of records in data, only: {fields}"
        raise UnreadableResponseError(problem)
    if not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
        raise UnreadableResponseError("the response has a record whose id is missing or not a text")
    limit = _LIMIT.search(url)
    is_full = limit is not None and len(rows) >= int(limit[1])
    if is_full and not _SAYS_WHETHER_MORE_FOLLOWS & parsed.keys():
        problem = "the response is a full page and does not say whether more records follow"
        raise UnreadableResponseError(problem)
