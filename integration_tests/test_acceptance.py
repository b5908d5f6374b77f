"""Airbyte's standard tests as configured in acceptance-test-config.yml, and tests with a state, which they lack."""

import json
from pathlib import Path

import pytest
import yaml
from _pytest.mark import ParameterSet
from airbyte_cdk.test.models import ConnectorTestScenario
from airbyte_cdk.test.standard_tests import SourceTestSuiteBase

from integration_tests.harness.forked import ForkedConnector
from integration_tests.harness.moments import moment, now
from integration_tests.harness.running import PROJECT, STREAMS
from integration_tests.harness.truth import CURSOR_FIELD, LOOKBACK, saved_cursor
from source_close import SourceClose


class TestStandard(SourceTestSuiteBase):
    # Set here because the default is derived from the name of the checkout's folder, which may be any name.
    connector = SourceClose

    @classmethod
    def get_connector_root_dir(cls) -> Path:
        return PROJECT


def incremental_scenarios() -> list[ParameterSet]:
    """Return the entries under `incremental`: a config, and the file with its future state."""
    tests = yaml.safe_load((PROJECT / "acceptance-test-config.yml").read_text())["acceptance_tests"]
    scenarios = []
    for entry in tests["incremental"]["tests"]:
        scenario = ConnectorTestScenario(config_path=entry["config_path"])
        path = PROJECT / entry["future_state"]["future_state_path"]
        marks = [pytest.mark.requires_creds] if scenario.requires_creds else []
        scenarios.append(pytest.param(scenario, path, id=entry["config_path"], marks=marks))
    return scenarios


def connector_of(scenario: ConnectorTestScenario, folder: Path) -> ForkedConnector:
    return ForkedConnector(scenario.get_config_dict(connector_root=PROJECT, empty_if_missing=False), folder)


@pytest.mark.parametrize(("scenario", "future_state"), incremental_scenarios())
def test_a_read_continues_from_the_state_of_the_previous_read(
    scenario: ConnectorTestScenario, future_state: Path, tmp_path: Path
) -> None:
    first = connector_of(scenario, tmp_path).sync()
    assert {stream for stream in STREAMS if first.records(stream)} == set(STREAMS)
    second = connector_of(scenario, tmp_path).sync(state=first.states)
    for stream in STREAMS:
        since = saved_cursor(first, stream)
        assert saved_cursor(second, stream) >= since, stream
        # An older activity is emitted again if it was edited in between, which does not happen on the local API.
        oldest = since - LOOKBACK[stream]
        again = [record for record in second.records(stream) if moment(record[CURSOR_FIELD[stream]]) < oldest]
        assert not again or (scenario.requires_creds and stream == "activities"), stream


@pytest.mark.parametrize(("scenario", "future_state"), incremental_scenarios())
def test_a_state_from_the_future_does_not_fail_the_read_and_is_replaced(
    scenario: ConnectorTestScenario, future_state: Path, tmp_path: Path
) -> None:
    """A stream that kept a state from the future would never emit a record again."""
    state = json.loads(future_state.read_text())
    assert {entry["stream"]["stream_descriptor"]["name"] for entry in state} == set(STREAMS)
    began = now()
    result = connector_of(scenario, tmp_path).sync(state=state)
    for stream in STREAMS:
        oldest = began - LOOKBACK[stream]
        assert [row for row in result.records(stream) if moment(row[CURSOR_FIELD[stream]]) < oldest] == [], stream
        assert saved_cursor(result, stream) <= now(), stream
