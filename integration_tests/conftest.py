"""Fixtures that the integration tests share: a local Close API, and the connector configured for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Connect, Fork, MakeApi
from integration_tests.harness.forked import ForkedConnector
from integration_tests.harness.running import KEY, Connector


@pytest.fixture
def make_api() -> Iterator[MakeApi]:
    """Return a function that starts a local API: `make_api(Volumes(activities=100), …)`; stop them after the test."""
    started: list[LocalCloseApi] = []

    def make(volumes: Volumes | None = None, **options: Any) -> LocalCloseApi:
        api = LocalCloseApi(volumes, **options)
        api.start()
        started.append(api)
        return api

    yield make
    for api in started:
        api.stop()


@pytest.fixture
def connect(tmp_path: Path) -> Connect:
    """Return a function that makes the connector for an API: `connect(api, start_date="2024-01-01")`."""

    def make(api: LocalCloseApi, **config: Any) -> Connector:
        return Connector({"api_key": KEY, "base_url": api.url, **config}, tmp_path)

    return make


@pytest.fixture
def fork(tmp_path: Path) -> Fork:
    """Return a function like `connect`, without the two seconds that an interpreter takes to start.

    These options of `ForkedConnector` may be given as well: `fork(api, faster=20, start_date="2024-01-01")`.
    """
    options = {"retry_seconds", "faster", "sizes"}

    def make(api: LocalCloseApi, **given: Any) -> ForkedConnector:
        config = {name: value for name, value in given.items() if name not in options}
        more = {name: value for name, value in given.items() if name in options}
        return ForkedConnector({"api_key": KEY, "base_url": api.url, **config}, tmp_path, **more)

    return make
