"""Tasks: all types, the cursor ``date_updated``, and a lookback of five minutes."""

import pytest
from requests_mock import Mocker

from unit_tests.syncs import API, Row, read, requested

URL = f"{API}/task/"


def task(number: int, updated: str) -> Row:
    return {
        "id": f"task_{number}",
        "_type": "lead",
        "date_created": "2024-01-01T00:00:00+00:00",
        "date_updated": updated,
    }


def window(start: str, end: str) -> str:
    return (
        f"/task/?_limit=1000&_order_by=date_created&_skip=0&_type=all&date_updated__gte={start}&date_updated__lt={end}"
    )


def test_a_first_sync_requests_every_type_in_windows_of_30_days(api: Mocker) -> None:
    api.get(URL, json={"data": [], "has_more": False})
    reading = read("tasks", start_date="2025-05-01T06:00:00Z")
    assert requested(api) == [
        window("2025-05-01T06:00:00.000000+00:00", "2025-05-31T06:00:00.000000+00:00"),
        window("2025-05-31T06:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00"),
    ]
    assert reading.states()[-1] == {"date_updated": "2025-05-01T06:00:00.000000+00:00"}


def test_a_later_sync_reads_five_minutes_again(api: Mocker) -> None:
    rows = [task(1, "2025-06-15T11:50:00+00:00"), task(2, "2025-06-15T11:59:59.999000+00:00")]
    api.get(URL, json={"data": rows, "has_more": False})
    reading = read("tasks", state={"tasks": {"date_updated": "2025-06-15T11:40:00.000000+00:00"}})
    assert requested(api) == [window("2025-06-15T11:35:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00")]
    assert reading.records == rows
    assert reading.states()[-1] == {"date_updated": "2025-06-15T11:59:59.999000+00:00"}


@pytest.mark.parametrize(
    "written",
    [
        "2025-06-14T10:00:00+00:00",
        "2025-06-14T10:00:00.000000+00:00",
        "2025-06-14T10:00:00",
        "2025-06-14T10:00:00.000",
        "2025-06-14T10:00:00Z",
        "2025-06-14T10:00:00.000Z",
    ],
)
def test_a_date_in_any_form_moves_the_state(api: Mocker, written: str) -> None:
    api.get(URL, json={"data": [task(1, written)], "has_more": False})
    assert read("tasks", start_date="2025-06-01").states()[-1] == {"date_updated": "2025-06-14T10:00:00.000000+00:00"}


@pytest.mark.parametrize("written", ["2025-06-14T12:00:00+02:00", "2025-06-14T12:00:00.000000+02:00"])
def test_a_date_with_an_offset_does_not_move_the_state_past_its_moment(api: Mocker, written: str) -> None:
    """The next sync would begin two hours too late, and skip what changed in between."""
    api.get(URL, json={"data": [task(1, written)], "has_more": False})
    reading = read("tasks", start_date="2025-06-01")
    assert reading.ids == ["task_1"]
    assert reading.states()[-1]["date_updated"] <= "2025-06-14T10:00:00.000000+00:00"


def test_a_priority_of_another_type_becomes_text(api: Mocker) -> None:
    at = "2025-06-15T11:50:00+00:00"
    rows = [{**task(n, at), "priority": priority} for n, priority in enumerate(("high", 1, 2.5, None, {"n": 1}))]
    api.get(URL, json={"data": [*rows, task(9, at)], "has_more": False})
    priorities = [row.get("priority", "absent") for row in read("tasks", start_date="2025-06-15").records]
    assert priorities == ["high", "1", "2.5", None, '{"n":1}', "absent"]
