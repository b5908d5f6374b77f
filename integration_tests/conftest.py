"""Fixtures that the integration tests share: a local Close API, and the connector configured for it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi, Volumes
from integration_tests.harness.fixtures import Fork, MakeApi
from integration_tests.harness.forked import ForkedConnector, Sizes
from integration_tests.harness.running import KEY


@pytest.fixture
def make_api() -> Iterator[MakeApi]:
    """Return a function that starts a local API: `make_api(Volumes(activities=100), …)`; stop them after the test."""
    with ExitStack() as started:

        def make(volumes: Volumes | None = None, **options: Any) -> LocalCloseApi:
            return started.enter_context(LocalCloseApi(volumes, **options))

        yield make


@pytest.fixture
def fork(tmp_path: Path) -> Fork:
    """Return a function that makes the connector for an API: `fork(api, faster=20, start_date="2024-01-01")`.

    `retry_seconds`, `faster` and `sizes` are those of `ForkedConnector`; all other arguments are fields of the config.
    """

    def make(
        api: LocalCloseApi,
        *,
        retry_seconds: float | None = None,
        faster: float = 1.0,
        sizes: Sizes | None = None,
        **config: Any,
    ) -> ForkedConnector:
        config = {"api_key": KEY, "base_url": api.url, **config}
        return ForkedConnector(config, tmp_path, retry_seconds=retry_seconds, faster=faster, sizes=sizes or {})

    return make
