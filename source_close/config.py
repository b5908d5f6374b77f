"""Check and complete the config: what JSON Schema can't check, other connectors' fields, defaults by date."""

import re
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4

from airbyte_cdk import AirbyteTracedException, FailureType
from airbyte_cdk.sources.declarative.transformations.config_transformations import config_transformation
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from source_close.dates import EARLIEST, format_moment, parse_moment, utc_now

_DATE_FORMS = "YYYY-MM-DD, YYYY-MM-DDTHH:MM:SSZ (any ISO date-time; without a zone it is UTC) or MM/DD/YYYY"


def _read_start_date(value: Any) -> datetime | None:
    text = value.strip() if isinstance(value, str) else "?"
    if not text:
        return None
    try:
        month_first = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)
        iso = "{2}-{0:0>2}-{1:0>2}".format(*month_first.groups()) if month_first else text.replace(" ", "T", 1)
        moment = parse_moment(re.match(r"\d{4}-\d{2}-\d{2}.*", iso)[0])  # type: ignore[index] # no match is no date
    except (TypeError, ValueError):
        raise ValueError(f"is not a valid date. Write it as {_DATE_FORMS}") from None
    if moment > utc_now():
        raise ValueError(f"is in the future. Choose a date up to today, as {_DATE_FORMS}")
    return max(moment, EARLIEST)


def _read_base_url(value: str) -> str:
    parts = urlsplit(value)
    with suppress(ValueError):
        parts.port  # noqa: B018 - raises if it is not a port
        hosts = {"https": [parts.hostname or "?"], "http": ["localhost", "127.0.0.1", "::1"]}
        if parts.hostname in hosts.get(parts.scheme, []):
            return value.rstrip("/")
    raise ValueError("must begin with https:// (http:// only for a server on this machine) and contain a host")


def _read_user_agent(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must be a single line of printable ASCII characters")
    return value


def _no_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty. Create a key in Close under Settings > Developer > API Keys")
    return value.strip()


class CloseConfig(BaseModel):
    """The fields of a config. ``activities_window_seconds`` and ``user_agent`` are those of tap-closeio."""

    api_key: Annotated[str, AfterValidator(_no_blank)] = Field(repr=False)
    start_date: Annotated[datetime | None, BeforeValidator(_read_start_date)] = None
    attribution_window_hours: int | None = Field(default=None, ge=0, le=720)
    activities_window_seconds: int = Field(default=24 * 3600, ge=0, le=720 * 3600)
    capture_changes: bool = Field(default=True, strict=True)
    num_workers: int = Field(default=20, ge=1, le=40)
    user_agent: Annotated[str, AfterValidator(_read_user_agent)] = ""
    base_url: Annotated[str, AfterValidator(_read_base_url)] = "https://api.close.com/api/v1"


class CloseConfigTransformation(config_transformation.ConfigTransformation):
    """Checks the config and adds what the manifest uses. ``ConfigAddFields`` can't try several date formats."""

    def transform(self, config: MutableMapping[str, Any]) -> None:
        """Change ``config`` in place. Raise a config error that names the invalid fields but shows no value."""
        try:
            checked = CloseConfig.model_validate({name: value for name, value in config.items() if value is not None})
        except ValidationError as error:
            problems = []
            for entry in error.errors(include_input=False, include_url=False):
                text = {"missing": " is missing", "value_error": entry["msg"].replace("Value error,", "", 1)}
                problems.append(f"{entry['loc'][0]}{text.get(entry['type'], ': ' + entry['msg'])}")
            message = f"The configuration can't be used: {'; '.join(problems)}."
            raise AirbyteTracedException(message, message, FailureType.config_error) from None
        # No window goes beyond ``end``, so no stream has newer records than another, or records dated in the future.
        end = config.setdefault("end", format_moment(utc_now()))
        positions = config.setdefault("event_log_positions", {})
        hours, seconds = checked.attribution_window_hours, checked.activities_window_seconds
        window = timedelta(seconds=seconds) if hours is None else timedelta(hours=hours)
        start = checked.start_date or parse_moment(end) - timedelta(days=365)
        for name, default in {"sync_id": uuid4().hex, "custom_field_columns": True, "retry_seconds": 300}.items():
            config.setdefault(name, default)
        config.pop("attribution_window_hours", None)  # if it is null, which the spec does not allow
        config.update(
            checked.model_dump(exclude={"activities_window_seconds"}, exclude_none=True),
            start_date=format_moment(start),
            activities_start=format_moment(start - window),
            attribution_window=f"PT{int(window.total_seconds())}S",
            event_log_since=max(min(positions.values(), default=end), format_moment(EARLIEST)),
            user_agent=f"{checked.user_agent} source-close/{version('source-close')}".strip(),
        )
