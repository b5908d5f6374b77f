"""The paginator that the manifest declares for activities and tasks is the one that the retriever asks."""

import pytest
import requests_mock
import time_machine
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from requests_mock import Mocker

from source_close.source import load_manifest
from unit_tests.syncs import API, NOW, Row, catalog, plain_config, run


def offsets_requested(api: Mocker, strategy: Row | None) -> list[str]:
    """Read three pages of three activities, and return the `_skip` of each request."""
    rows = [{"id": f"acti_{number}", "date_created": "2025-06-15T10:00:00+00:00"} for number in range(9)]

    def page(request: requests_mock.request._RequestObjectProxy, _: object) -> Row:
        offset = int(request.qs["_skip"][0])
        return {"data": rows[offset : offset + 3], "has_more": offset + 3 < len(rows)}

    api.get(f"{API}/activity/", json=page)
    manifest = load_manifest()
    paginator = manifest["definitions"]["shared"]["offset_paginator"]
    if strategy:
        paginator["pagination_strategy"] = strategy
    with time_machine.travel(NOW, tick=False):
        source = ConcurrentDeclarativeSource(
            catalog("activities"), plain_config({"start_date": "2025-06-15"}), [], source_config=manifest
        )
        run(source, "activities")
    return [request.qs["_skip"][0] for request in api.request_history]


def test_pages_overlap_by_a_row(api: Mocker) -> None:
    assert offsets_requested(api, None) == ["0", "2", "4", "6"]


@pytest.mark.parametrize("kind", ["OffsetIncrement", "PageIncrement"])
def test_a_strategy_without_overlap_does_not_pass_unnoticed(api: Mocker, kind: str) -> None:
    assert offsets_requested(api, {"type": kind, "page_size": 3}) != ["0", "2", "4", "6"]
