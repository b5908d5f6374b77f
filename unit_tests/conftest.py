"""Time that passes only where somebody sleeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests_mock

from unit_tests.syncs import Clock


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that everything waits by."""
    clock = Clock()
    monkeypatch.setattr("time.sleep", clock.sleep)
    monkeypatch.setattr("time.monotonic", clock)
    return clock


@pytest.fixture
def api() -> Iterator[requests_mock.Mocker]:
    """Close, which knows no address until a test says so."""
    with requests_mock.Mocker() as api:
        yield api
