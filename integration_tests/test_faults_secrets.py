"""The API key is in no output, for any failure and at any log level."""

import base64
from dataclasses import replace
from functools import partial

import pytest

from integration_tests.close_api import Fault, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.moments import DAY, now, text
from integration_tests.harness.running import Result

KEY = "api_S3cr3tS3cr3t.K3yK3yK3y"
ENCODED = base64.b64encode(f"{KEY}:".encode()).decode()
ECHO = f"You sent 'Authorization: Basic {ENCODED}', that is {KEY}"
# The faults of one read, by the path that they hit. A 401 ends a read, so it is alone.
FAULTS: dict[str, dict[str, Fault]] = {
    "no fault": {},
    "wrong key": {"/": Fault("status", status=401, body={"error": ECHO})},
    "refused": {
        "/activity/": Fault("status", status=400, body={"error": ECHO, "field-errors": {KEY: ECHO}}),
        "/event/": Fault("status", status=403, body=f"<html>{ECHO}</html>"),
        "/custom_field/": Fault("status", status=429, body={"error": {"message": ECHO, "rate_reset": 9_000}}),
        "/data/search/": Fault("status", status=500, body=ECHO),
    },
    "broken": {
        "/activity/": Fault("status", status=200, body={ECHO: ECHO}),
        "/event/": Fault("reset"),
        "/custom_field/": Fault("close_mid_body"),
        "/data/search/": Fault("truncate"),
    },
}
STREAMS = ["activities", "leads", "event_log", "custom_fields"]


def assert_hidden(result: Result) -> None:
    assert result.output
    for secret in (KEY, ENCODED, ENCODED.rstrip("="), KEY.removeprefix("api_")):
        assert secret not in result.output, result.output[max(result.output.find(secret) - 300, 0) :][:700]


@pytest.fixture
def make_connector(fork: Fork) -> Fork:
    """Return a function that makes the connector, which gives up early."""
    return partial(fork, api_key=KEY, start_date=text(now() - 50 * DAY), retry_seconds=0.6, faster=20)


@pytest.mark.parametrize("name", FAULTS)
def test_the_key_is_in_no_output(name: str, make_api: MakeApi, make_connector: Fork) -> None:
    api = make_api(Volumes(activities=20, leads=5, tasks=5, events=5, users=2, custom_fields=1))
    api.settings.api_key = KEY
    for path, fault in FAULTS[name].items():
        api.faults.add(replace(fault, path=path))
    connector = make_connector(api)
    result = connector.run(*connector.read_arguments(STREAMS, []), "--debug")
    failed = {stream for stream in STREAMS if result.status(stream) != "COMPLETE"}
    assert failed == (set() if name == "no fault" else set(STREAMS))
    assert_hidden(result)
    for command in ("check", "discover"):
        assert_hidden(connector.run(command, "--config", connector.write("config", connector.config), "--debug"))
