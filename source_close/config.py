"""Check the config, and derive what the manifest reads as ``config['sync'][…]``."""

import re
from collections.abc import Mapping, MutableMapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from airbyte_cdk import AirbyteTracedException, FailureType
from airbyte_cdk.sources.declarative.transformations.config_transformations import (
    config_transformation,
)
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
)

from source_close.api.responses import without_nulls
from source_close.api.sync import Sync
from source_close.dates import (
    EARLIEST,
    LATENESS,
    MAX_CLOCK_LEAD,
    MILLISECOND,
    SECOND,
    format_moment,
    parse_moment,
    utc_now,
    whole_second,
)
from source_close.streams.event_log import RETENTION

_DEFAULT_HISTORY = timedelta(days=365)
_RECENT = timedelta(days=4)  # that of a daily sync may be from before a weekend
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*")  # datetime.fromisoformat also accepts weeks
_DATE_FORMS = (
    "YYYY-MM-DD, YYYY-MM-DDTHH:MM:SSZ (or another offset; without one it is UTC) or MM/DD/YYYY"
)
_CREATE_A_KEY = "Create a key in Close under Settings > Developer > API Keys"
_MAX_WINDOW_HOURS = 720
# The CDK would evaluate a key in quotes, and drop them.
_KEY = StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[A-Za-z0-9_.:-]+$")
# The texts for problems of the key, by pydantic's type. Other problems have pydantic's own text.
_TEXTS = {
    "missing": f"is missing. {_CREATE_A_KEY}",
    "string_too_short": f"is empty. {_CREATE_A_KEY}",
    "string_pattern_mismatch": "has characters that no key has, such as quotes. Copy it once more",
}
_URL_RULE = (
    "must be an address such as https://host/path, in ASCII and without a login or a query "
    "(http:// only for a server on this machine)"
)
_HOST = r"([a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|\[[0-9a-f:.]+\])"
_THIS_MACHINE = r"(localhost|127\.0\.0\.1|\[::1\])"
# Without a login, a query or a backslash, as libraries disagree about the host of such an address.
_URL = re.compile(
    rf"(https://{_HOST}|http://{_THIS_MACHINE})(:[0-9]+)?(/[^\s?#\\]*)?", re.IGNORECASE | re.ASCII
)


def _read_start_date(value: Any) -> datetime | None:
    """Return the date in UTC, None if the text is blank."""
    text = str(value).strip()  # a number or a list becomes a text that is no date
    if not text:
        return None
    try:
        if "/" in text:
            text = datetime.strptime(text, "%m/%d/%Y").isoformat()  # noqa: DTZ007 - UTC follows
        if not _DATE.fullmatch(text):
            raise ValueError(text)  # noqa: TRY301 - all problems get one message
        moment = parse_moment(text.replace(" ", "T", 1))
    except (OverflowError, ValueError):
        raise ValueError(f"is not a valid date. Write it as {_DATE_FORMS}") from None
    if moment > utc_now():
        raise ValueError(f"is in the future. Choose a date up to today, as {_DATE_FORMS}")
    return max(moment, EARLIEST)


def _read_base_url(value: str) -> str:
    url = value.strip().rstrip("/")
    try:
        port = urlsplit(url).port
    except ValueError:  # an address that can't be parsed, or a port that is too large
        raise ValueError(_URL_RULE) from None
    if port == 0 or not _URL.fullmatch(url):
        raise ValueError(_URL_RULE)
    return url


class CloseConfig(BaseModel):
    """The fields that a user enters. ``activities_window_seconds`` is tap-closeio's."""

    api_key: Annotated[str, _KEY] = Field(repr=False)
    start_date: Annotated[datetime | None, BeforeValidator(_read_start_date)] = None
    attribution_window_hours: int | None = Field(default=None, ge=0, le=_MAX_WINDOW_HOURS)
    activities_window_seconds: int = Field(default=24 * 3600, ge=0, le=_MAX_WINDOW_HOURS * 3600)
    capture_changes: bool = Field(default=True, strict=True)
    num_workers: int = Field(default=20, ge=1, le=40)
    base_url: Annotated[str, AfterValidator(_read_base_url)] = "https://api.close.com/api/v1"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "CloseConfig":
        """Return the fields of a config.

        Raises:
            AirbyteTracedException: a config error that names invalid fields but shows no value.
        """
        try:
            return cls.model_validate(without_nulls(config))
        except ValidationError as error:
            problems = list[str]()
            for entry in error.errors():
                text = entry["msg"].removeprefix("Value error, ").replace("Input should", "must")
                problems.append(f"{entry['loc'][0]} {_TEXTS.get(entry['type'], text)}")
        # After the except: its error shows the values, so it must not be the context of this one.
        message = f"The configuration can't be used: {'; '.join(problems)}."
        raise AirbyteTracedException(message, message, FailureType.config_error)


class CloseConfigTransformation(config_transformation.ConfigTransformation):
    """Checks the config and adds ``sync``, which the header of ``manifest.yaml`` explains.

    ``ConfigAddFields`` can't try several date formats, and the messages of ``validators`` show the
    value but not the field.
    """

    def transform(self, config: MutableMapping[str, Any]) -> None:
        """Change ``config`` in place; raise a config error if it is invalid."""
        checked = CloseConfig.of(config)
        sync = config.get("sync")
        if not isinstance(sync, Sync):  # SourceClose may have made one, but no file can
            sync = Sync()
        end = parse_moment(sync.setdefault("end", format_moment(utc_now())))
        start = whole_second(checked.start_date or end - _DEFAULT_HISTORY)
        hours = checked.attribution_window_hours
        seconds = checked.activities_window_seconds if hours is None else hours * 3600
        window = timedelta(seconds=seconds)
        positions = sync.event_log_positions.values()
        oldest_position = parse_moment(min(positions, default=sync["end"]))
        # A clock that is ahead of Close's may have written the position.
        followed_from = whole_second(oldest_position - LATENESS - MAX_CLOCK_LEAD)
        # Rounded up: rounded down, 30 days would need a 31st window, for a fraction of a second.
        oldest_event = whole_second(end - RETENTION + SECOND - MILLISECOND)
        sync |= {
            "start": format_moment(start),
            "activities_start": format_moment(start - window),
            # A new activity may be late in the list, or the clock ahead of Close's.
            "attribution_window": f"PT{int(max(window, LATENESS).total_seconds())}S",
            "events_start": format_moment(oldest_event),
            # Windows of an hour are read side by side, but a quiet hour takes a request, too.
            "events_step": "PT1H" if positions and end - oldest_position < _RECENT else "P1D",
            "followed_from": format_moment(followed_from),
        }
        config.update(checked.model_dump(mode="json", exclude_none=True), sync=sync)
