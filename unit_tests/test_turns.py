"""Streams take turns in handing out their windows."""

from types import SimpleNamespace
from typing import Any

import pytest
from requests_mock import Mocker

from source_close.streams.turns import StreamInTurn
from unit_tests.syncs import API, Clock, Row, read_with_positions


@pytest.mark.parametrize("count", [0, 1, 10, 30, 1000])
def test_every_stream_hands_out_its_windows_evenly_in_the_same_time_the_first_at_once(clock: Clock, count: int) -> None:
    """So those of streams that begin together alternate, and a stream with more windows hands out more at a time."""
    stream: Any = SimpleNamespace(cursor=None, cursor_field="", name="", generate_partitions=lambda: range(count))
    began = clock.now
    windows = StreamInTurn(stream, newest_last=False).generate_partitions()
    seconds = [clock.now - began for _ in windows]
    assert seconds == pytest.approx([0.2 * number / count for number in range(count)])
    assert clock.now - began <= 0.2, "nothing waits after the last window"


@pytest.mark.parametrize(
    ("state", "whole", "is_early"),
    [({}, [], True), ({"tasks": {"date_updated": "2025-03-01T00:00:00+00:00"}}, [], False), ({}, ["tasks"], False)],
    ids=["first sync", "later sync", "full refresh"],
)
def test_the_newest_window_is_taken_early_unless_more_is_read_after_it(
    api: Mocker, state: Row, whole: list[str], *, is_early: bool
) -> None:
    api.get(f"{API}/task/", json={"data": [], "has_more": False})
    api.get(f"{API}/event/", json={"data": [], "cursor_next": None})
    read_with_positions("tasks", state=state, whole=whole, start_date="2025-02-24")
    starts = [request.qs["date_updated__gte"][0][:10] for request in api.request_history if "task" in request.path]
    first, *others, newest = sorted(starts)
    assert starts == ([first, newest, *others] if is_early else [first, *others, newest])
