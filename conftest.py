"""Fixtures and hooks for Airbyte's standard tests, which `make test` and `airbyte-cdk connector test` run."""

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.test.models import ConnectorTestScenario

from integration_tests.close_api import LocalCloseApi, Volumes

pytest_plugins = ["airbyte_cdk.test.standard_tests.pytest_hooks"]

# The base_url in the acceptance configs. The port of the local API replaces the port 0.
_LOCAL_API = "http://127.0.0.1:0/api/v1"
_VOLUMES = Volumes(activities=140, leads=30, tasks=54, events=60, users=5, custom_fields=3)


@pytest.fixture(scope="session")
def acceptance_api() -> Iterator[LocalCloseApi]:
    """Run a local API that has records in every stream, all of them at least three days old."""
    with LocalCloseApi(_VOLUMES, end=datetime.now(timezone.utc) - timedelta(days=3)) as api:
        yield api


@pytest.fixture(autouse=True)
def _configs_use_the_local_api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "scenario" not in request.fixturenames:
        return
    read = ConnectorTestScenario.get_config_dict

    def with_port_of_the_local_api(scenario: ConnectorTestScenario, **options: Any) -> dict[str, Any]:
        config = read(scenario, **options)
        if config.get("base_url") == _LOCAL_API:
            config["base_url"] = request.getfixturevalue("acceptance_api").url
        return config

    monkeypatch.setattr(ConnectorTestScenario, "get_config_dict", with_port_of_the_local_api)


def pytest_configure(config: pytest.Config) -> None:
    """Reach the local API without a proxy, and use the import mode `prepend` for `airbyte-cdk connector test`.

    That command writes its test file to `.tmp`, and the mode `importlib` can't make a module name from that path.
    """
    os.environ |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    if _is_airbytes_command(config):
        config.option.importmode = "prepend"


def _is_airbytes_command(config: pytest.Config) -> bool:
    return any(".tmp" in Path(argument).parts for argument in config.args)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what can't run here: tests without their config or image, or that don't run for their scenario.

    A real account is only used on request: by `airbyte-cdk connector test`, or with `-m requires_creds`.
    """
    deselected = [item for item in items if not _can_run(config, item)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


def _can_run(config: pytest.Config, item: pytest.Item) -> bool:
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    scenario: ConnectorTestScenario | None = params.get("scenario")
    needs_a_real_account = scenario is not None and scenario.requires_creds
    # Without --connector-image, the standard tests would build an image in Airbyte's own way instead of with our
    # Dockerfile. A container can't reach the local API.
    if item.get_closest_marker("image_tests") and (
        not config.getoption("--connector-image") or (scenario is not None and not needs_a_real_account)
    ):
        return False
    if scenario is not None and needs_a_real_account:
        asked = _is_airbytes_command(config) or "requires_creds" in config.getoption("-m")
        return asked and scenario.config_path is not None and (config.rootpath / scenario.config_path).is_file()
    # The standard tests skip a scenario whose section of acceptance-test-config.yml does not run their command.
    command = re.match(r"TestStandard::test_(?:\w+_)?(check|discover|spec|read)", item.nodeid.partition("::")[2])
    runs = getattr(scenario, "runs", None)  # older versions of airbyte-cdk don't have it, and skip nothing
    return command is None or runs is None or runs(command[1])
