"""Users and custom fields: lists without a date filter, read whole and filtered here."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests_mock

from unit_tests.streams import API, NOW, queries, read

KINDS = ["lead", "contact", "opportunity", "activity", "custom_object_type", "shared"]


def user(number: int, updated: Any) -> dict[str, Any]:
    return {"id": f"user_{number}", "date_created": "2015-01-01T00:00:00+00:00", "date_updated": updated}


def field(kind: str, number: int = 1, updated: str = "2019-05-06T07:08:09+00:00", **more: Any) -> dict[str, Any]:
    return {"id": f"cf_{kind}_{number}", "name": kind, "type": "text", "date_updated": updated, **more}


USERS = [
    user(1, "2016-01-01T00:00:00+00:00"),
    user(2, "2025-06-01T00:00:00.000000+00:00"),
    user(3, "2025-06-01T00:00:00.001000+00:00"),
    user(4, None),
    user(5, "2025-05-31T23:59:59.999000+00:00"),
    user(6, "2031-01-01T00:00:00+00:00"),
]


def test_a_first_sync_brings_every_user_whatever_the_start_date(requests_mock: requests_mock.Mocker) -> None:
    requests_mock.get(f"{API}/user/", json={"data": USERS, "has_more": False})
    reading = read("users", start_date="2025-06-10")
    assert reading.ids == [f"user_{n}" for n in range(1, 7)]
    assert queries(requests_mock) == ["/user/?_skip=0&_limit=100"]


def test_a_later_sync_brings_users_stamped_since_and_those_without_a_stamp(
    requests_mock: requests_mock.Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    requests_mock.get(f"{API}/user/", json={"data": USERS, "has_more": False})
    reading = read("users", {"date_updated": "2025-06-01T00:10:00.000000+00:00"}, start_date="2025-06-10")
    assert reading.ids == ["user_2", "user_3", "user_4", "user_6"]
    assert "without a readable date_updated" in caplog.text


def test_a_user_stamped_in_the_future_does_not_move_the_state_past_now_and_comes_again(
    requests_mock: requests_mock.Mocker,
) -> None:
    requests_mock.get(f"{API}/user/", json={"data": USERS, "has_more": False})
    reading = read("users")
    assert reading.states[-1] == {"date_updated": "2025-06-15T12:00:00.000000+00:00"}
    assert read("users", reading.states[-1], now=NOW + timedelta(minutes=1)).ids == ["user_4", "user_6"]


def test_many_pages_of_users(requests_mock: requests_mock.Mocker) -> None:
    rows = [user(n, "2025-01-01T00:00:00+00:00") for n in range(150)]
    requests_mock.get(
        f"{API}/user/",
        [{"json": {"data": rows[:100], "has_more": True}}, {"json": {"data": rows[99:], "has_more": False}}],
    )
    assert read("users").ids == [row["id"] for row in rows]
    assert queries(requests_mock) == ["/user/?_skip=0&_limit=100", "/user/?_skip=99&_limit=100"]


def fields_of_every_kind(mock: requests_mock.Mocker) -> None:
    for kind in KINDS:
        answer: dict[str, Any] = {"data": [field(kind), field(kind, 2, "2025-06-01T00:00:00+00:00")]}
        if kind not in {"custom_object_type", "shared"}:
            answer["has_more"] = False
        mock.get(f"{API}/custom_field/{kind}/", json=answer)


def test_all_six_kinds_of_custom_fields_come_with_their_kind(requests_mock: requests_mock.Mocker) -> None:
    fields_of_every_kind(requests_mock)
    reading = read("custom_fields", start_date="2025-06-10")
    assert [(record["id"], record["object_type"]) for record in reading.records] == [
        (f"cf_{kind}_{number}", kind) for kind in KINDS for number in (1, 2)
    ]
    assert queries(requests_mock) == [f"/custom_field/{kind}/?_skip=0&_limit=100" for kind in KINDS]
    assert reading.states[-1] == {"date_updated": "2025-06-01T00:00:00.000000+00:00"}


def test_the_state_of_custom_fields_waits_for_the_last_kind(requests_mock: requests_mock.Mocker) -> None:
    fields_of_every_kind(requests_mock)
    states = read("custom_fields").states
    assert states[:5] == [{"date_updated": "1970-01-01T00:00:00.000000+00:00"}] * 5
    assert states[5:] == [{"date_updated": "2025-06-01T00:00:00.000000+00:00"}] * 2


def test_a_later_sync_brings_changed_custom_fields_only(requests_mock: requests_mock.Mocker) -> None:
    fields_of_every_kind(requests_mock)
    reading = read("custom_fields", {"date_updated": "2025-05-01T00:00:00+00:00"})
    assert reading.ids == [f"cf_{kind}_2" for kind in KINDS]


def test_a_shared_field_that_a_kind_lists_too_comes_once(requests_mock: requests_mock.Mocker) -> None:
    shared = field("shared", is_shared=True)
    for kind in KINDS:
        data = [shared] if kind in {"lead", "shared"} else []
        requests_mock.get(f"{API}/custom_field/{kind}/", json={"data": data})
    assert [(record["id"], record["object_type"]) for record in read("custom_fields").records] == [
        ("cf_shared_1", "shared")
    ]
