"""The connector's configuration: what JSON Schema can't check, and the forms of other connectors that work as well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any
from urllib.parse import urlsplit

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from source_close.windows import format_moment, parse_moment, utc_now

DEFAULT_BASE_URL = "https://api.close.com/api/v1"
DEFAULT_NUM_WORKERS = 20
_SECONDS_AN_HOUR = 3600
_LONGEST_ATTRIBUTION_HOURS = 720
# Nothing in Close is older; of an earlier date the attribution window could not be subtracted.
_EARLIEST = datetime(1900, 1, 1, tzinfo=timezone.utc)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DATE_FORMS = "YYYY-MM-DD, YYYY-MM-DDTHH:MM:SSZ (any ISO date-time; without a zone it is UTC) or MM/DD/YYYY"


def _read_start_date(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    text = value.strip() if isinstance(value, str) else ""
    moment = None
    with suppress(ValueError):
        if re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", text):
            moment = datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=timezone.utc)
        elif re.match(r"\d{4}-\d{2}-\d{2}", text):
            moment = parse_moment(text.replace(" ", "T", 1))
    if moment is None:
        raise ValueError(f"is no date that exists. Write it as {_DATE_FORMS}")
    if moment > utc_now():
        raise ValueError(f"lies in the future. Choose a date up to today, as {_DATE_FORMS}")
    return max(moment, _EARLIEST)


def _read_base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return value.rstrip("/")
    raise ValueError("must begin with https:// (http:// only for a server on this machine)")


def _no_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty. Create a key in Close under Settings > Developer > API Keys")
    return value.strip()


class CloseConfig(BaseModel):
    """The configuration as the connector uses it. Unknown fields are ignored.

    Of tap-closeio's fields ``activities_window_seconds`` stands in for ``attribution_window_hours`` and
    ``user_agent`` is sent along; ``date_window`` has no meaning here, since windows are found while reading.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    api_key: Annotated[str, AfterValidator(_no_blank)] = Field(repr=False)
    start_date: Annotated[datetime | None, BeforeValidator(_read_start_date)] = None
    attribution_window_hours: int | None = Field(default=None, ge=0, le=_LONGEST_ATTRIBUTION_HOURS)
    activities_window_seconds: int | None = Field(default=None, ge=0, le=_LONGEST_ATTRIBUTION_HOURS * _SECONDS_AN_HOUR)
    capture_changes: bool = True
    num_workers: int = Field(default=DEFAULT_NUM_WORKERS, ge=1, le=40)
    user_agent: str | None = None
    base_url: Annotated[str, AfterValidator(_read_base_url)] = DEFAULT_BASE_URL

    @property
    def attribution_window(self) -> timedelta:
        """How far back activities are read again; 24 hours unless configured."""
        if self.attribution_window_hours is not None:
            return timedelta(hours=self.attribution_window_hours)
        if self.activities_window_seconds is not None:
            return timedelta(seconds=self.activities_window_seconds)
        return timedelta(hours=24)

    def for_manifest(self, now: datetime) -> dict[str, Any]:
        """The values that manifest.yaml refers to, each present and in one form.

        ``now`` (UTC) is when the sync begins: the default start date is one year before it.
        """
        start_date = self.start_date or _a_year_before(now)
        return {
            "api_key": self.api_key,
            "start_date": format_moment(start_date),
            "activities_start": format_moment(start_date - self.attribution_window),
            "attribution_window": f"PT{int(self.attribution_window.total_seconds())}S",
            "num_workers": self.num_workers,
            "base_url": self.base_url,
        }


def _a_year_before(moment: datetime) -> datetime:
    try:
        return moment.replace(year=moment.year - 1)
    except ValueError:  # 29 February
        return moment.replace(year=moment.year - 1, day=28)


def parse_config(config: Mapping[str, Any]) -> CloseConfig:
    """Read a configuration.

    Raises:
        AirbyteTracedException: (config error) names each field that is wrong and what it should be. Values are not
            repeated: one of them is the API key.
    """
    try:
        return CloseConfig.model_validate(config)
    except ValidationError as error:
        problems = "; ".join(_problem(entry) for entry in error.errors(include_input=False, include_url=False))
        message = f"The configuration can't be used: {problems}."
        raise AirbyteTracedException(
            message=message, internal_message=message, failure_type=FailureType.config_error
        ) from None


def _problem(entry: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "missing":
        return f"{field} is missing"
    return (
        f"{field} {entry['msg'].removeprefix('Value error, ')}"
        if entry["type"] == "value_error"
        else (f"{field}: {entry['msg']}")
    )
