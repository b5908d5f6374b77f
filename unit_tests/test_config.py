"""The configuration: accepted forms, defaults, limits, and error messages that name the field but no value."""

import re
from pathlib import Path
from typing import Any

import pytest
import time_machine
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_close.api.sync import Sync
from source_close.config import CloseConfigTransformation
from source_close.source import SourceClose
from source_close.streams.event_log import EventLog
from unit_tests.syncs import KEY, NOW, PROPERTIES, Row, transform

FORMS = "YYYY-MM-DD, YYYY-MM-DDTHH:MM:SSZ (or another offset; without one it is UTC) or MM/DD/YYYY"


def message_for(config: Row) -> str:
    with time_machine.travel(NOW, tick=False), pytest.raises(AirbyteTracedException) as error:
        CloseConfigTransformation().transform(dict(config))
    assert error.value.failure_type == FailureType.config_error
    assert KEY not in f"{error.value!r} {error.value.message} {error.value.internal_message}"
    assert error.value.__cause__ is None
    return str(error.value.message)


ACCEPTED = [
    ("2024-01-31", "2024-01-31T00:00:00.000000+00:00"),
    ("2024-01-31T10:20:30Z", "2024-01-31T10:20:30.000000+00:00"),
    ("2024-01-31T10:20:30z", "2024-01-31T10:20:30.000000+00:00"),
    ("2024-01-31T10:20", "2024-01-31T10:20:00.000000+00:00"),
    ("2024-01-31T10:20:30.123Z", "2024-01-31T10:20:30.000000+00:00"),
    ("2024-01-31T10:20:30.123456", "2024-01-31T10:20:30.000000+00:00"),
    ("2024-01-31T10:20:30+02:00", "2024-01-31T08:20:30.000000+00:00"),
    ("2024-01-31T23:20:30-05:30", "2024-02-01T04:50:30.000000+00:00"),
    ("2024-01-31 10:20:30", "2024-01-31T10:20:30.000000+00:00"),
    ("01/31/2024", "2024-01-31T00:00:00.000000+00:00"),
    ("1/5/2024", "2024-01-05T00:00:00.000000+00:00"),
    ("  2024-01-31 ", "2024-01-31T00:00:00.000000+00:00"),
    ("2025-06-15T12:00:00Z", "2025-06-15T12:00:00.000000+00:00"),
    # Unusual forms, and blank ones: then it is a year ago.
    ("01/ 1/2024", "2024-01-01T00:00:00.000000+00:00"),
    ("2024-01-31Z", "2024-01-31T00:00:00.000000+00:00"),
    ("2024-01-31_10:20", "2024-01-31T10:20:00.000000+00:00"),
    ("", "2024-06-15T12:00:00.000000+00:00"),
    (" ", "2024-06-15T12:00:00.000000+00:00"),
]
# What the form refuses as well; the connector also refuses dates and times that do not exist.
NOT_LIKE_A_DATE = ["yesterday", "2024", "20240131", "31.01.2024", "2024-1-31", "1/5/24"]


def matches_the_pattern(given: str) -> bool:
    return re.search(PROPERTIES["start_date"]["pattern"], given) is not None


@pytest.mark.parametrize(("given", "start"), ACCEPTED)
def test_start_date_is_read_in_every_accepted_form(given: str, start: str) -> None:
    assert transform(start_date=given)["sync"]["start"] == start
    assert matches_the_pattern(given)


@pytest.mark.parametrize("given", [*NOT_LIKE_A_DATE, "x 2024-01-31", "01/31/2024 at noon"])
def test_the_form_refuses_what_does_not_look_like_a_date(given: str) -> None:
    assert not matches_the_pattern(given)


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2025-06-15T12:00:00.250+00:00", "2024-06-15T12:00:00.000000+00:00"),
        ("2024-02-29T23:00:00+00:00", "2023-03-01T23:00:00.000000+00:00"),
    ],
)
@pytest.mark.parametrize("given", [{}, {"start_date": None}], ids=["absent", "null"])
def test_start_date_is_365_days_before_the_first_sync_by_default(given: Row, now: str, start: str) -> None:
    assert transform(now, **given)["sync"]["start"] == start


def test_the_oldest_event_is_of_a_whole_second_and_30_days_need_30_windows() -> None:
    for now in ("2025-06-15T11:59:59.001+00:00", "2025-06-15T12:00:00+00:00"):
        assert transform(now)["sync"]["events_start"] == "2025-05-16T12:00:00.000000+00:00"


def test_a_start_date_in_year_1_does_not_overflow() -> None:
    assert transform(start_date="0001-01-01")["sync"]["activities_start"] == "1899-12-31T00:00:00.000000+00:00"


@pytest.mark.parametrize(
    ("given", "duration", "start"),
    [
        ({}, "PT86400S", "2024-01-30T00:00:00"),
        ({"attribution_window_hours": 0}, "PT600S", "2024-01-31T00:00:00"),
        ({"attribution_window_hours": 720}, "PT2592000S", "2024-01-01T00:00:00"),
        ({"attribution_window_hours": "48"}, "PT172800S", "2024-01-29T00:00:00"),
        ({"activities_window_seconds": 90}, "PT600S", "2024-01-30T23:58:30"),
        ({"activities_window_seconds": "3600"}, "PT3600S", "2024-01-30T23:00:00"),
        ({"attribution_window_hours": 2, "activities_window_seconds": 90}, "PT7200S", "2024-01-30T22:00:00"),
    ],
    ids=["default", "zero", "maximum", "text", "tap field", "tap field as text", "own field before tap field"],
)
def test_the_attribution_window_sets_lookback_and_start_of_activities(given: Row, duration: str, start: str) -> None:
    sync = transform(start_date="2024-01-31", **given)["sync"]
    assert sync["attribution_window"] == duration
    assert sync["activities_start"] == f"{start}.000000+00:00"


NOT_DATES: list[Any] = [
    *NOT_LIKE_A_DATE,
    "2024-02-30",
    "31/01/2024",
    "2024-01-31T25:00:00Z",
    "2024-01-31T10:20:30 in the morning",
    "0001-01-01T00:00:00+05:00",
    20240131,
    ["2024-01-31"],
]
NOT_URLS = [
    "http://api.close.com/api/v1",
    "http://localhost.evil.example/",
    "http://localhost@evil.example/",
    "http://127.0.0.2/",
    "ftp://localhost/",
    "api.close.com",
    "",
    "https:///api/v1",
    "https://[",
    "https://api..close.com/api/v1",
    f"https://{'a' * 64}.com/",
    "http://localhost:65536/api/v1",
    "http://evil.example\\@localhost/",
    "https://somebody:secret@api.close.com/",
    "https://api.close.com\t/api/v1",
    "https://api.close.com?x=1",
    "https://*.close.com/api/v1",
    "https://api close.com/api/v1",
    "https://api.close.com/api /v1",
    "https://api.close.com:port/api/v1",
    "https://api.close.com:0/api/v1",
]
NO_URL = (
    "must be an address such as https://host/path, in ASCII and without a login or a query "
    "(http:// only for a server on this machine)"
)
INVALID: list[tuple[str, Any, str]] = [
    *(("start_date", given, f" is not a valid date. Write it as {FORMS}") for given in NOT_DATES),
    *(
        ("start_date", given, f" is in the future. Choose a date up to today, as {FORMS}")
        for given in ("2025-06-16", "06/16/2025", "2025-06-15T12:00:01Z", "2999-01-01T00:00:00")
    ),
    ("attribution_window_hours", -1, " must be greater than or equal to 0"),
    ("attribution_window_hours", 721, " must be less than or equal to 720"),
    ("attribution_window_hours", 1.5, " must be a valid integer, got a number with a fractional part"),
    ("activities_window_seconds", -1, " must be greater than or equal to 0"),
    ("activities_window_seconds", 2_592_001, " must be less than or equal to 2592000"),
    ("capture_changes", "false", " must be a valid boolean"),
    ("capture_changes", 0, " must be a valid boolean"),
    ("num_workers", 0, " must be greater than or equal to 1"),
    ("num_workers", 41, " must be less than or equal to 40"),
    ("num_workers", "many", " must be a valid integer, unable to parse string as an integer"),
    ("num_workers", "9" * 5000, " Unable to parse input string as an integer, exceeded maximum size"),
    *(("base_url", given, f" {NO_URL}") for given in NOT_URLS),
    ("api_key", "", " is empty. Create a key in Close under Settings > Developer > API Keys"),
    ("api_key", "  ", " is empty. Create a key in Close under Settings > Developer > API Keys"),
    *(
        ("api_key", given, " has characters that no key has, such as quotes. Copy it once more")
        for given in ("api_\u2013key", f"'{KEY}'", f'"{KEY}"', f"({KEY})", "api key")
    ),
    ("api_key", None, " is missing. Create a key in Close under Settings > Developer > API Keys"),
    ("api_key", [KEY], " must be a valid string"),
]


@pytest.mark.parametrize(("field", "given", "problem"), INVALID, ids=str)
def test_an_invalid_value_fails_with_the_field_and_the_reason(field: str, given: Any, problem: str) -> None:
    message = message_for({"api_key": KEY, field: given})
    assert message == f"The configuration can't be used: {field}{problem}."


@pytest.mark.parametrize(
    ("field", "given", "used"),
    [
        ("attribution_window_hours", None, None),
        ("attribution_window_hours", "24", 24),
        ("num_workers", None, 20),
        ("num_workers", "40", 40),
    ],
)
def test_a_number_may_be_null_or_text(field: str, given: Any, used: int | None) -> None:
    assert transform(**{field: given})[field] == used


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.close.com/api/v1", "https://api.close.com/api/v1"),
        (" https://proxy.example/close/ ", "https://proxy.example/close"),
        ("HTTPS://api.close.com", "HTTPS://api.close.com"),
        ("https://[2001:db8::1]:8443/close", "https://[2001:db8::1]:8443/close"),
        ("http://localhost:8000/api/v1/", "http://localhost:8000/api/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/api/v1", "http://[::1]:8000/api/v1"),
    ],
)
def test_base_url_is_https_or_http_on_this_machine(given: str, used: str) -> None:
    assert transform(base_url=given)["base_url"] == used


def test_one_message_names_every_problem() -> None:
    message = message_for({"api_key": KEY, "start_date": "soon", "num_workers": 0, "attribution_window_hours": "x"})
    for field in ("start_date", "num_workers", "attribution_window_hours"):
        assert field in message


@pytest.mark.parametrize(
    "config",
    [
        {"api_key": KEY, "start_date": "2024-01-01T00:00:00Z"},
        {
            "api_key": KEY,
            "start_date": "2024-01-01T00:00:00Z",
            "user_agent": "tap-closeio <api@example.com>",
            "date_window": "1",
            "activities_window_seconds": "86400",
            "request_timeout": "300",
        },
        {"api_key": KEY, "start_date": "2024-01-01", "unknown": {"field": [1]}},
    ],
    ids=["the public Airbyte connector", "tap-closeio", "unknown fields"],
)
def test_a_config_of_another_connector_is_accepted(config: Row) -> None:
    values = transform(**config)
    sync = values.pop("sync")
    assert values == {
        **config,
        "activities_window_seconds": 86400,
        "base_url": "https://api.close.com/api/v1",
        "capture_changes": True,
        "num_workers": 20,
        "start_date": "2024-01-01T00:00:00Z",
    }
    assert sync == {
        "start": "2024-01-01T00:00:00.000000+00:00",
        "end": "2025-06-15T12:00:00.000000+00:00",
        "activities_start": "2023-12-31T00:00:00.000000+00:00",
        "attribution_window": "PT86400S",
        "events_start": "2025-05-16T12:00:00.000000+00:00",
        "events_step": "P1D",
        "followed_from": "2025-06-15T11:45:00.000000+00:00",
    }


def test_a_config_from_a_file_can_not_set_the_values_of_the_manifest() -> None:
    given: Row = {"end": "2020-01-01", "retry_seconds": 9999, "custom_field_columns": False}
    sync = transform(sync=given, **given)["sync"]
    assert (sync["end"], sync.retry_seconds, sync.custom_field_columns) == (NOW, 300, True)


def test_a_command_writes_the_key_to_no_file(tmp_path: Path) -> None:
    fields = SourceClose().configure({"api_key": KEY, "num_workers": "5"}, str(tmp_path))
    assert fields["api_key"] == KEY
    assert fields["num_workers"] == 5
    assert list(tmp_path.iterdir()) == []


def test_two_syncs_share_nothing() -> None:
    first = transform()["sync"]
    second = transform()["sync"]
    for name in ("current_request", "event_log_positions", "failing_since", "given_up", "limiter", "unreadable_states"):
        assert getattr(first, name) is not getattr(second, name), name
    assert first.share(EventLog) is not second.share(EventLog)


def test_a_transformed_config_is_not_changed_again() -> None:
    """The CDK transforms the config of a source more than once."""
    sync = Sync()
    sync.event_log_positions["tasks"] = "2025-06-01"
    once = transform(start_date="2024-01-31", sync=sync)
    before = dict(once["sync"])
    assert transform("2026-01-01T00:00:00+00:00", **once)["sync"] == before
