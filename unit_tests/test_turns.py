"""Streams take turns in handing out their windows."""

import threading
import time
from typing import Any, cast

import pytest
from airbyte_cdk.sources.streams.concurrent.partitions.partition import Partition
from requests_mock import Mocker

from source_close.streams import turns
from source_close.streams.turns import Turns
from unit_tests.syncs import API, Row, read_with_positions


def windows(count: int) -> list[Partition]:
    return [cast("Partition", number) for number in range(count)]


def hand_out(**counts: int) -> list[str]:
    """Start a thread for each stream, and return the streams in the order in which they handed out windows."""
    handed_out: list[str] = []
    given = Turns(len(counts))

    def run(name: str) -> None:
        handed_out.extend(name for _ in given.take(windows(counts[name])))

    threads = [threading.Thread(target=run, args=(name,)) for name in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handed_out) == sum(counts.values())
    return handed_out


def test_no_stream_hands_out_more_than_one_window_before_the_others() -> None:
    order = hand_out(activities=40, leads=40, tasks=40)
    for end in range(1, len(order)):
        counts = [order[:end].count(name) for name in ("activities", "leads", "tasks")]
        assert max(counts) - min(counts) <= 1


def test_a_stream_with_more_windows_hands_out_more_at_a_time() -> None:
    order = hand_out(activities=10, event_log=30)
    for end in range(4, len(order) + 1, 4):
        assert abs(order[:end].count("event_log") - 3 * order[:end].count("activities")) <= 4


def test_a_stream_that_has_not_begun_is_not_waited_for() -> None:
    given = Turns(2)
    began = time.perf_counter()
    assert len(list(given.take(windows(1_000)))) == 1_000
    assert len(list(given.take(windows(1_000)))) == 1_000
    assert time.perf_counter() - began < 1  # no turn was waited for


def test_a_stream_that_ends_early_is_not_waited_for() -> None:
    given = Turns(1)
    leads = cast("Any", given.take(windows(2)))
    next(leads)
    leads.close()
    began = time.perf_counter()
    assert len(list(given.take(windows(10)))) == 10
    assert time.perf_counter() - began < 1  # no turn was waited for


def test_a_stream_that_is_stuck_delays_the_others_but_does_not_stop_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_MAX_WAIT_SECONDS", 0.01)
    given = Turns(1)
    stuck = given.take(windows(2))
    next(stuck)
    assert len(list(given.take(windows(20)))) == 20


@pytest.mark.parametrize("state", [{}, {"tasks": {"date_updated": "2025-03-01T00:00:00+00:00"}}])
def test_only_a_first_read_takes_the_newest_window_early(api: Mocker, state: Row) -> None:
    api.get(f"{API}/task/", json={"data": [], "has_more": False})
    api.get(f"{API}/event/", json={"data": [], "cursor_next": None})
    read_with_positions("tasks", state=state, start_date="2025-02-24")
    starts = [request.qs["date_updated__gte"][0][:10] for request in api.request_history if "task" in request.path]
    first, *others, newest = sorted(starts)
    assert starts == ([first, *others, newest] if state else [first, newest, *others])
