"""Validates records against the schema of their stream, by the rules of Airbyte's acceptance tests."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from airbyte_cdk.utils.datetime_helpers import ab_datetime_parse
from jsonschema import Draft7Validator, FormatChecker, validators

# Unlike JSON Schema, a destination rejects 1.0 as an integer and accepts dates that are not in RFC 3339.
_FORMATS = FormatChecker()
_TYPES = Draft7Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
_Validator = validators.extend(Draft7Validator, type_checker=_TYPES)  # type: ignore[no-untyped-call] # has no types


@_FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or bool(ab_datetime_parse(value))


def schema_errors(schema: dict[str, Any], records: Iterable[dict[str, Any]]) -> list[str]:
    """Return the errors, each with the path in a record: `$.name: 1 is not of type 'string'`."""
    Draft7Validator.check_schema(schema)
    validator = _Validator(schema, format_checker=_FORMATS)
    errors = chain.from_iterable(validator.iter_errors(record) for record in records)
    return [f"{error.json_path}: {error.message}" for error in errors]
