"""Users: every sync requests the whole list, and the connector filters it."""

import pytest
from requests_mock import Mocker

from unit_tests.syncs import API, Row, read, requested


def user(number: int, updated: str | None) -> Row:
    return {"id": f"user_{number}", "date_created": "2015-01-01T00:00:00+00:00", "date_updated": updated}


USERS = [
    user(1, "2016-01-01T00:00:00+00:00"),
    user(2, "2025-06-01T00:00:00.000000+00:00"),
    user(3, "2025-06-01T00:00:00.001000+00:00"),
    user(4, "2025-05-31T23:59:59.999000+00:00"),
    user(5, "2031-01-01T00:00:00+00:00"),
]


@pytest.fixture(autouse=True)
def _users(api: Mocker) -> None:
    api.get(f"{API}/user/", json={"data": USERS, "has_more": False})


def test_a_first_sync_emits_every_user_regardless_of_the_start_date(api: Mocker) -> None:
    reading = read("users", start_date="2025-06-10")
    assert reading.ids == ["user_1", "user_2", "user_3", "user_4"]
    assert requested(api) == ["/user/?_limit=1000&_skip=0"]
    assert reading.statuses == {"users": "COMPLETE"}


def test_a_later_sync_emits_users_changed_since_ten_minutes_before_the_state(api: Mocker) -> None:
    reading = read("users", state={"users": {"date_updated": "2025-06-01T00:10:00.000000+00:00"}})
    assert reading.ids == ["user_2", "user_3"]
    assert requested(api) == ["/user/?_limit=1000&_skip=0"]


def test_a_user_changed_after_the_start_of_a_sync_is_emitted_by_a_later_sync() -> None:
    state = read("users").states()[-1]
    assert state == {"date_updated": "2025-06-01T00:00:00.001000+00:00"}
    assert read("users", state={"users": state}, now="2031-01-01T00:00:00.001+00:00").ids == [
        "user_2",
        "user_3",
        "user_4",
        "user_5",
    ]


@pytest.mark.parametrize(
    ("updated", "is_emitted"),
    [
        ("2025-06-01T00:00:00.000000+00:00", True),
        ("2025-05-31T23:59:59.999000+00:00", False),
        ("2025-05-31T22:30:00-02:00", True),
        ("2025-06-01T01:30:00+02:00", False),
        ("2025-06-01T00:00:00Z", True),
        ("yesterday", True),
        (None, True),
    ],
)
def test_a_date_in_any_form_is_compared_with_the_state(api: Mocker, updated: str | None, *, is_emitted: bool) -> None:
    api.get(f"{API}/user/", json={"data": [{"id": "user_1", "date_updated": updated}], "has_more": False})
    reading = read("users", state={"users": {"date_updated": "2025-06-01T00:10:00.000000+00:00"}})
    assert reading.ids == (["user_1"] if is_emitted else [])
