"""Parse a response once, and check that it is what Close sends."""

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson
import requests

from source_close.api.errors import UnusableResponseError

Row = dict[str, Any]  # a record as Close returns it, without the keys whose value is null

SUCCESS_CODES = range(200, 300)
_PARSED = "close_json"  # the attribute of a response that keeps its parsed body
_ERROR_KEYS = ("error", "errors", "field-errors")
_PAGE_STEP = 100  # Close may cut a page to a multiple of this
ONE_RECORD = re.compile(r"/lead/[^/?]+/")  # the only request that is not for a list
_LIMIT = re.compile(r"\b_limit=(\d+)\b")


def response_json(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a success; ``{}`` for an error.

    The records of a success are in ``data``, also a record alone. They lack the keys whose value is
    null: a table has null there anyway.

    Raises:
        UnusableResponseError: if a success is not what Close sends, or a 400 is cut off.
    """
    if not hasattr(response, _PARSED):
        setattr(response, _PARSED, _parse(response))
    parsed: dict[str, Any] = getattr(response, _PARSED)
    return parsed


def _parse(response: requests.Response) -> dict[str, Any]:
    body = response.content
    status = response.status_code
    # A refusal is parsed only to notice one that is cut off, which is retried.
    is_refusal = status == requests.codes.bad_request and body.startswith(b"{")
    if status not in SUCCESS_CODES and not is_refusal:
        return {}
    try:
        value = _loads(body)
    except (ValueError, RecursionError) as error:
        problem = f"the response ({status}) is not complete JSON ({len(body)} bytes: {error})"
        raise UnusableResponseError(problem) from None
    if is_refusal:
        return {}
    # If the body is no object, the error about it names its type in place of its fields.
    parsed = value if isinstance(value, dict) else {type(value).__name__: value}
    return _checked(parsed, response.url)


# The body of a success after the checks, with its records, or its only one, in ``data``.
def _checked(parsed: dict[str, Any], url: str) -> dict[str, Any]:
    if ONE_RECORD.search(url):
        parsed = {"data": [parsed]}
    _check_records(parsed)
    _check_end(parsed, url)
    return {**parsed, "data": [without_nulls(row) for row in parsed["data"]]}


def without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None, which need no room in memory and in the output."""
    return {name: value for name, value in values.items() if value is not None}


# Also parses what orjson rejects: half a surrogate pair becomes U+FFFD, and NaN null.
def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        text = json.dumps(json.loads(body, parse_constant=lambda _: None), ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _check_records(parsed: Mapping[str, Any]) -> None:
    rows = parsed.get("data")
    if rows is None and "date_created" in parsed:
        raise UnusableResponseError(
            "the response is a single record instead of a list", requests.codes.created
        )
    if not isinstance(rows, list):
        fields = ", ".join(parsed)[:100] or "nothing"
        raise UnusableResponseError(f"the response has no list of records in data, only: {fields}")
    errors = {key: parsed[key] for key in _ERROR_KEYS if parsed.get(key)}
    if errors:
        raise UnusableResponseError(
            f"the response has the status of a success, but also an error: {errors}"
        )
    if not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
        raise UnusableResponseError("the response has a record whose id is missing or not a text")


def _check_end(parsed: Mapping[str, Any], url: str) -> None:
    count = len(parsed["data"])
    limit = _LIMIT.search(url)
    is_full = limit is not None and (count == int(limit[1]) or count % _PAGE_STEP == 0)
    is_end_known = isinstance(parsed.get("has_more"), bool) or "cursor_next" in parsed
    if count and is_full and not is_end_known:
        raise UnusableResponseError(
            "the response is a full page and does not say whether more records follow"
        )
