"""Fixtures: a clock that advances only when code sleeps, and a mock of the Close API."""

import gc
import re
from collections.abc import Iterator

import pytest
from requests_mock import Mocker

from unit_tests.syncs import API, KINDS, Clock

# As in the command: before Python 3.11.8, a collection in a thread that parses a template can make that fail.
gc.disable()


@pytest.fixture(autouse=True)
def _collect_garbage_between_tests() -> Iterator[None]:
    yield
    if gc.get_count()[0] > 500_000:
        gc.collect()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace ``time.sleep`` and ``time.monotonic`` with a clock that the tests control."""
    clock = Clock()
    monkeypatch.setattr("time.sleep", clock.sleep)
    monkeypatch.setattr("time.monotonic", clock)
    return clock


@pytest.fixture
def api() -> Iterator[Mocker]:
    """Yield a mock of Close without leads and custom fields; any other request fails unless a test registers it."""
    with Mocker() as api:
        api.get(re.compile(f"{API}/lead/[^/]+/"), status_code=404, json={"error": "Not found"})
        api.post(f"{API}/lead/", json={"data": [], "has_more": False})
        for kind in KINDS:
            api.get(f"{API}/custom_field/{kind}/", json={"data": []})
        yield api
