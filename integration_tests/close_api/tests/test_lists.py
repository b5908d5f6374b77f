"""Lists of the local API that are paged by offset."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from integration_tests.close_api import LocalCloseApi

from .conftest import NOON, Client, Clock


def all_ids(client: Client, path: str, limit: int, **params: Any) -> list[str]:
    ids: list[str] = []
    while True:
        page = client.json(path, _limit=limit, _skip=len(ids), **params)
        ids += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            return ids


def test_pages_contain_every_row_once(api: LocalCloseApi, client: Client) -> None:
    made = api.store.load_many("Note", 25, NOON - timedelta(days=9), NOON)
    ids = all_ids(client, "/activity/", 10)
    assert sorted(ids) == sorted(made)
    assert ids == all_ids(client, "/activity/", 7)


def test_has_more_is_false_on_a_full_last_page(api: LocalCloseApi, client: Client) -> None:
    api.store.load_many("Note", 4, NOON)
    assert client.json("/activity/", _limit=4)["has_more"] is False
    assert client.json("/activity/", _limit=3)["has_more"] is True


@pytest.mark.parametrize(
    ("path", "parameter", "value", "wording", "body"),
    [
        ("/activity/", "_limit", "101", "old", "max_limit = 100"),
        ("/activity/", "_limit", "101", "new", "Input should be less than or equal to 100"),
        ("/activity/note/", "_skip", "250001", "old", "(max_skip = 250000). Please refine your search query."),
        ("/activity/note/", "_skip", "250001", "new", "Input should be less than or equal to 250000"),
        ("/lead/", "_skip", "35001", "old", "max_skip = 35000"),
        ("/task/", "_limit", "x", "old", '_limit must be an integer (got \\"x\\" instead).'),
        ("/task/", "_skip", "-1", "old", '_skip must be a non-negative integer (got \\"-1\\" instead).'),
        ("/task/", "_skip", "x", "new", "Input should be a valid integer"),
        ("/task/", "_limit", "¹", "old", "_limit must be an integer (got"),
        ("/task/", "_limit", "١", "new", "Input should be a valid integer"),
        ("/task/", "_skip", "-¹", "new", "Input should be a valid integer"),
        ("/task/", "_limit", "9" * 5_000, "old", "_limit must be an integer (got"),
    ],
)
def test_invalid_paging_gets_400(
    api: LocalCloseApi, client: Client, path: str, parameter: str, value: str, wording: Any, body: str
) -> None:
    api.settings.error_wording = wording
    response = client.get(path, **{parameter: value})
    assert response.status_code == 400
    assert body in response.text
    assert ("field-errors" if wording == "new" else "error") in response.json()


def test_tasks_and_users_have_no_maximum_skip(client: Client) -> None:
    assert client.json("/task/", _skip=9_999_999)["data"] == []
    assert client.json("/user/", _skip=9_999_999)["data"] == []


def test_the_maximum_skip_can_be_set(api: LocalCloseApi, client: Client) -> None:
    api.settings.max_skip["task"] = 5
    assert client.get("/task/", _skip=6).status_code == 400


def test_unknown_parameters_are_ignored(api: LocalCloseApi, client: Client) -> None:
    api.store.load_many("Note", 2, NOON)
    parameters = {"date_updated__gte": "2100-01-01", "id__in[0]": "x", "_order_by": "-date_updated"}
    assert len(client.ids("/activity/", **parameters)) == 2


def test_the_fields_parameter_selects_the_fields_of_a_row(api: LocalCloseApi, client: Client) -> None:
    api.store.add("Note")
    lead = api.store.add("lead", **{"custom.cf_1": 5})
    assert set(client.json("/activity/", _fields="id,note,nothing")["data"][0]) == {"id", "note"}
    assert set(client.json(f"/lead/{lead['id']}/", _fields="id,custom.cf_1")) == {"id", "custom.cf_1"}
    assert set(client.json(f"/lead/{lead['id']}/", _fields="custom")) == {"custom", "custom.cf_1"}
    assert "primary_email" not in lead
    assert "primary_email" in client.json(f"/lead/{lead['id']}/", _fields="_all")


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"date_created__gte": "2026-01-01T00:00:00.001Z"}, {1, 2}),
        ({"date_created__gt": "2026-01-01T00:00:00.001+00:00"}, {2}),
        ({"date_created__lte": "2026-01-01T01:00:00.001+01:00"}, {0, 1}),
        ({"date_created__lt": "2026-01-01T00:00:00.001"}, {0}),
        ({"date_created__gte": "2026-01-01", "date_created__lt": "2026-01-02"}, {0, 1, 2}),
    ],
)
@pytest.mark.parametrize("path", ["/activity/", "/activity/note/"])
def test_activities_can_be_filtered_by_date_created(
    api: LocalCloseApi, client: Client, path: str, bounds: dict[str, str], expected: set[int]
) -> None:
    first = NOON.replace(day=1, hour=0)
    ids = [api.store.load_many("Note", 1, first + timedelta(milliseconds=number))[0] for number in range(3)]
    assert set(client.ids(path, **bounds)) == {ids[number] for number in expected}


def test_the_precision_of_a_date_filter_can_be_a_second(api: LocalCloseApi, client: Client) -> None:
    api.settings.filter_precision = "second"
    api.store.load_many("Note", 1, NOON + timedelta(milliseconds=100))
    assert len(client.ids("/activity/", date_created__gt="2026-01-15T12:00:00.900")) == 1


def test_an_invalid_date_filter_gets_400_or_is_ignored(api: LocalCloseApi, client: Client) -> None:
    assert client.get("/activity/", date_created__gt="soon").status_code == 400
    api.settings.bad_date_filter = "ignore"
    assert client.get("/activity/", date_created__gt="soon").status_code == 200


def test_a_date_filter_without_an_offset_uses_the_time_zone_header(api: LocalCloseApi, client: Client) -> None:
    api.store.load_many("Note", 1, NOON)
    client.session.headers["x-tz-offset"] = "-4"
    assert len(client.ids("/activity/", date_created__gte="2026-01-15T08:00:00")) == 1
    assert len(client.ids("/activity/", date_created__gt="2026-01-15T08:00:00")) == 0


@pytest.mark.parametrize("order", ["newest", "oldest", "id", "inserted", "date_updated"])
@pytest.mark.parametrize("path", ["/activity/", "/task/", "/user/"])
def test_lists_have_the_order_of_the_settings(api: LocalCloseApi, client: Client, path: str, order: Any) -> None:
    api.settings.activity_order = api.settings.task_order = api.settings.user_order = order
    kind = {"/activity/": "Note", "/task/": "task", "/user/": "user"}[path]
    fields = {"_type": "lead"} if kind == "task" else {}
    made = api.store.load_many(kind, 30, NOON - timedelta(days=30), NOON, **fields)
    rows = [row for row in client.json(path)["data"] if row["id"] in made]
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "newest": lambda row: row["date_created"],
        "oldest": lambda row: row["date_created"],
        "id": lambda row: row["id"],
        "inserted": lambda row: made.index(row["id"]),
        "date_updated": lambda row: row["date_updated"],
    }
    found = [keys[order](row) for row in rows]
    assert found == sorted(found, reverse=order == "newest")


def test_activities_can_be_ordered_by_date_created(api: LocalCloseApi, client: Client) -> None:
    api.store.load_many("Note", 9, NOON - timedelta(days=9), NOON)
    dates = [row["date_created"] for row in client.json("/activity/", _order_by="date_created")["data"]]
    assert dates == sorted(dates)


def test_the_order_of_rows_with_the_same_timestamp_is_stable_and_arbitrary(api: LocalCloseApi, client: Client) -> None:
    made = api.store.load_many("Note", 40, NOON)
    ids = all_ids(client, "/activity/", 9)
    assert ids == all_ids(client, "/activity/", 100)
    assert sorted(ids) == sorted(made)
    assert ids not in (sorted(made), sorted(made, reverse=True), made, made[::-1])


def test_some_filters_of_activities_need_a_lead(api: LocalCloseApi, client: Client) -> None:
    lead = api.store.add("lead")["id"]
    note = api.store.add("Note", lead_id=lead, user_id="user_1")["id"]
    call = api.store.add("Call", lead_id=lead, user_id="user_2")["id"]
    assert client.ids("/activity/", lead_id=lead, _type="Note") == [note]
    assert client.ids("/activity/", lead_id=lead, user_id="user_2") == [call]
    assert client.ids("/activity/", lead_id__in=f"{lead},x", id__in=note) == [note]
    assert set(client.ids("/activity/", _type="Note")) == {note, call}
    api.settings.filter_needs_lead = "reject"
    assert client.get("/activity/", _type="Note").status_code == 400
    assert client.ids("/activity/note/", user_id="user_1") == [note]


def test_activities_of_a_lead_can_be_ordered_and_filtered_by_activity_at(api: LocalCloseApi, client: Client) -> None:
    lead = api.store.add("lead")["id"]
    early = api.store.add("Note", lead_id=lead, activity_at="2020-01-01T00:00:00+00:00")["id"]
    late = api.store.add("Note", lead_id=lead, activity_at="2021-01-01T00:00:00+00:00")["id"]
    parameters = {"lead_id": lead, "_order_by": "-activity_at"}
    assert client.ids("/activity/", **parameters) == [late, early]
    assert client.ids("/activity/", activity_at__lt="2020-06-01", **parameters) == [early]


def test_email_threads_are_listed_on_request(api: LocalCloseApi, client: Client) -> None:
    thread = api.store.add("EmailThread")["id"]
    email, note = api.store.add("Email")["id"], api.store.add("Note")["id"]
    assert set(client.ids("/activity/")) == {email, note}
    both = client.json("/activity/", thread_emails="true")["data"]
    assert {row["id"] for row in both} == {thread, email, note}
    assert "body_text" not in next(row for row in both if row["id"] == email)
    assert set(client.ids("/activity/", thread_emails="only")) == {thread, note}
    assert client.ids("/activity/emailthread/") == [thread]


def test_every_activity_type_has_its_list(serve: Callable[..., LocalCloseApi]) -> None:
    api = serve(activities=15)
    client = Client(api)
    paths = [
        *("note", "call", "email", "emailthread", "sms", "whatsapp_message", "meeting", "custom", "created"),
        *("form_submission", "status_change/lead", "status_change/opportunity", "lead_merge", "task_completed"),
        "import_update",
    ]
    rows = [client.json(f"/activity/{path}/")["data"] for path in paths]
    assert [len(found) for found in rows] == [1] * 15
    assert len({found[0]["_type"] for found in rows}) == 15
    assert client.json(f"/activity/note/{rows[0][0]['id']}/") == rows[0][0]
    client.session.close()


def test_tasks_can_be_filtered_by_type(api: LocalCloseApi, client: Client) -> None:
    api.store.load_many("task", 18, NOON)
    assert {row["_type"] for row in client.json("/task/")["data"]} == {"lead"}
    assert client.json("/task/", _type="all", _limit=1)["total_results"] == 18
    assert client.json("/task/", _type__in="voicemail,lead")["total_results"] == 4
    assert client.json("/task/", _type="missed_call")["total_results"] == 2


def test_tasks_can_be_filtered_and_ordered(api: LocalCloseApi, client: Client) -> None:
    old = api.store.load_many("task", 1, NOON - timedelta(days=5), _type="lead", date="2026-01-10", is_complete=False)
    new = api.store.load_many("task", 1, NOON - timedelta(days=1), _type="lead", date="2026-01-20", is_complete=True)
    assert client.ids("/task/", date_created__lt="2026-01-12") == old
    assert client.ids("/task/", date_updated__gte="2026-01-12", date_created__gt="2026-01-01") == new
    assert client.ids("/task/", date__lte="2026-01-10") == old
    assert client.ids("/task/", is_complete="true") == new
    assert client.ids("/task/", view="archive") == new
    assert client.ids("/task/", view="inbox") == old
    assert client.ids("/task/", id__in=old[0]) == old
    assert client.ids("/task/", _order_by="date") == old + new
    assert client.ids("/task/", _order_by="-date") == new + old
    assert client.ids("/task/", _order_by="date_created") == old + new


def test_users_can_be_ordered_by_name(serve: Callable[..., LocalCloseApi]) -> None:
    api = serve(users=12)
    client = Client(api)
    names = [
        (row["last_name"], row["first_name"]) for row in client.json("/user/", _order_by="last_name,first_name")["data"]
    ]
    assert names == sorted(names)
    client.session.close()


def test_custom_field_lists_have_the_plain_and_shared_fields(serve: Callable[..., LocalCloseApi]) -> None:
    api = serve(custom_fields=20)
    client = Client(api)
    lists = {
        name: client.json(f"/custom_field/{name}/")
        for name in ("lead", "contact", "opportunity", "activity", "custom_object_type", "shared")
    }
    assert [len(found["data"]) for found in lists.values()] == [20] * 6
    assert ["has_more" in found for found in lists.values()] == [True] * 4 + [False] * 2
    assert {row["type"] for row in lists["lead"]["data"]} >= {"text", "choices", "user", "custom_object", "datetime"}
    assert {row["accepts_multiple_values"] for row in lists["lead"]["data"]} == {True, False}
    assert client.get("/custom_field/nothing/").status_code == 404
    plain = {row["id"] for row in lists["lead"]["data"]}
    schema = client.json("/custom_field_schema/lead/")["fields"]
    shared = {row["id"] for row in schema if row["is_shared"]}
    assert {row["id"] for row in schema} == plain | shared
    assert shared
    api.settings.custom_field_lists_have_shared = True
    assert set(client.ids("/custom_field/lead/")) == plain | shared
    client.session.close()


def test_the_custom_field_schema_of_an_activity_type_has_its_fields(serve: Callable[..., LocalCloseApi]) -> None:
    api = serve(custom_fields=20)
    client = Client(api)
    type_id = api.store.factory.world.activity_type_ids[0]
    fields = client.json(f"/custom_field_schema/activity/{type_id}/")["fields"]
    own = {row["custom_activity_type_id"] for row in fields if not row["is_shared"]}
    assert own == {type_id}
    assert client.get("/custom_field_schema/activity/actitype_none/").status_code == 404
    client.session.close()


def test_lead_lists_show_changes_after_the_search_lag(api: LocalCloseApi, client: Client, clock: Clock) -> None:
    api.settings.search_lag = 30
    lead = api.store.add("lead")["id"]
    assert client.ids("/lead/") == []
    assert client.json(f"/lead/{lead}/")["id"] == lead
    clock.forward(seconds=31)
    assert client.ids("/lead/") == [lead]
    assert client.json("/lead/")["total_results"] == 1
    api.store.delete(lead)
    assert client.ids("/lead/") == [lead]
    clock.forward(seconds=31)
    assert client.ids("/lead/") == []
