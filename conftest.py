"""What Airbyte's standard tests need here, started by `make test` or by `airbyte-cdk connector test`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.test.models import ConnectorTestScenario

from integration_tests.close_api import LocalCloseApi, Volumes

pytest_plugins = ["airbyte_cdk.test.standard_tests.pytest_hooks"]

# The configs name this address: a port of 0 stands for whichever the local API got.
_LOCAL_API = "http://127.0.0.1:0/api/v1"
_VOLUMES = Volumes(activities=140, leads=30, tasks=54, events=60, users=5, custom_fields=3)


@pytest.fixture(scope="session")
def acceptance_api() -> Iterator[LocalCloseApi]:
    """A local API with records in every stream; none so new that a later read has them again."""
    with LocalCloseApi(_VOLUMES, end=datetime.now(timezone.utc) - timedelta(days=3)) as api:
        yield api


@pytest.fixture(autouse=True)
def _configs_name_the_local_api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "scenario" not in request.fixturenames:
        return
    read = ConnectorTestScenario.get_config_dict

    def with_its_port(scenario: ConnectorTestScenario, **options: Any) -> dict[str, Any]:
        config = read(scenario, **options)
        if config.get("base_url") == _LOCAL_API:
            config["base_url"] = request.getfixturevalue("acceptance_api").url
        return config

    monkeypatch.setattr(ConnectorTestScenario, "get_config_dict", with_its_port)


def pytest_configure(config: pytest.Config) -> None:
    """`airbyte-cdk connector test` has its test file in `.tmp`, of which importlib can't make a module's name."""
    if any(".tmp" in Path(argument).parts for argument in config.args):
        config.option.importmode = "prepend"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what there is nothing for here: a real account's config, or an image to test."""
    left_out = [item for item in items if not _can_run(config, item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _can_run(config: pytest.Config, item: pytest.Item) -> bool:
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    scenario: ConnectorTestScenario | None = params.get("scenario")
    needs_a_real_account = scenario is not None and scenario.requires_creds
    # Without the option the standard tests would build an image in Airbyte's own way, which is not our Dockerfile. And
    # from a container the local API is out of reach.
    if item.get_closest_marker("image_tests") and (
        not config.getoption("--connector-image") or (scenario is not None and not needs_a_real_account)
    ):
        return False
    if scenario is not None and needs_a_real_account:
        return scenario.config_path is not None and (config.rootpath / scenario.config_path).is_file()
    return True
