"""What the integration tests share: a local Close API, and the connector pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.forked import ForkedConnector
from integration_tests.running import Connector

KEY = "api_local"


@pytest.fixture
def make_api() -> Iterator[Callable[..., LocalCloseApi]]:
    """Starts local APIs, `make_api(Volumes(activities=100), …)`, and stops them after the test."""
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
def connect(tmp_path: Path) -> Callable[..., Connector]:
    """The connector for an API: `connect(api, start_date="2024-01-01")`."""

    def make(api: LocalCloseApi, **config: Any) -> Connector:
        return Connector({"api_key": KEY, "base_url": api.url, **config}, tmp_path)

    return make


@pytest.fixture
def fork(tmp_path: Path) -> Callable[..., ForkedConnector]:
    """As `connect`, without the two seconds that the start of the interpreter takes."""

    def make(api: LocalCloseApi, **config: Any) -> ForkedConnector:
        return ForkedConnector({"api_key": KEY, "base_url": api.url, **config}, tmp_path)

    return make
