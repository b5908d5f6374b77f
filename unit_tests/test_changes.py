"""Late edits, deletions and merges: the event log names the records, which are then requested by id."""

from collections.abc import Iterator, Sequence
from itertools import permutations
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from requests_mock import Mocker

from source_close.streams.event_log import EventLog
from unit_tests.syncs import API, NOW, Clock, Log, Reading, Row, read, requested, warnings

STATES = {
    "activities": {"date_created": "2025-06-15T00:00:00+00:00"},
    "leads": {"date_updated": "2025-06-15T00:00:00+00:00"},
    "tasks": {"date_updated": "2025-06-15T00:00:00+00:00"},
}
POSITION = "2025-06-15T06:00:00+00:00"
CREATED = "2020-01-02T03:04:05+00:00"
START = "2025-07-01T09:00:00.000000+00:00"
DELETED_AT = "2025-06-15T10:00:00.000000+00:00"


def event(object_id: str, action: str = "updated", kind: str = "activity.note", hour: str = "10", **more: Any) -> Row:
    # Close sends the dates of events without a UTC offset.
    stamped = {"id": f"ev_{object_id}_{action}", "date_updated": f"2025-06-15T{hour}:00:00"}
    return {**stamped, "object_id": object_id, "object_type": kind, "action": action, **more}


class Close:
    """A mock account whose windows contain no records.

    A request by ids returns the records in ``alive`` and ``indexed``, at most ``most`` of them, and whether there are
    more if ``says_more``. It is refused with more than ``most_ids``. A request for one record finds only ``alive``.
    """

    most = 100
    most_ids = 100
    says_more = True

    def __init__(self, api: Mocker, *events: Row, alive: Sequence[str] = (), indexed: Sequence[str] = ()) -> None:
        self.rows = {one: {"id": one, "date_created": CREATED, "date_updated": CREATED, "now": 1} for one in alive}
        self.indexed = {one: {"id": one, "date_created": CREATED} for one in indexed}
        self.requested_by_id: list[Row] = []
        self.requested_ids: list[str] = []
        self.strangers: list[Row] = []
        api.get(f"{API}/event/", json={"data": list(events), "cursor_next": None})
        api.get(f"{API}/activity/", json={"data": [], "has_more": False})
        api.get(f"{API}/task/", json={"data": [], "has_more": False})
        api.post(f"{API}/data/search/", json={"data": [], "cursor": None})
        for path in ("activity", "lead", "task"):
            api.post(f"{API}/{path}/", json=self._by_ids)
        for one in alive:
            api.get(f"{API}/lead/{one}/", json={"id": one})

    def _by_ids(self, request: Any, context: Any) -> Row:
        assert request.headers["x-http-method-override"] == "GET"
        params = orjson.loads(request.body)["_params"]
        self.requested_by_id.append(params)
        self.requested_ids.append(params["id__in"])
        if params["id__in"].count(",") >= self.most_ids:
            context.status_code = 400
            return {"error": "Too many ids"}
        known = {**self.indexed, **self.rows}
        rows = [known[one] for one in params["id__in"].split(",") if one in known] + self.strangers
        page: Row = {"data": rows[: self.most]}
        if self.says_more:
            page["has_more"] = len(rows) > self.most
        return page


def read_changes(*streams: str, **config: Any) -> Reading:
    """Sync streams that continue at ``POSITION`` in the event log."""
    positions = dict.fromkeys(streams, POSITION)
    states = {stream: STATES[stream] for stream in streams}
    return read(*streams, state=states, event_log_positions=positions, **config)


def deletion(record_id: str, stream: str = "activities", cursor: str = NOW) -> Row:
    cursor_field = "date_created" if stream == "activities" else "date_updated"
    return {"id": record_id, cursor_field: cursor, "_ab_cdc_deleted_at": DELETED_AT}


def present_and_deleted(records: list[Row]) -> tuple[list[str], list[str]]:
    """Return the sorted ids of the records that exist, and those of the deletions."""
    deleted = sorted(record["id"] for record in records if "_ab_cdc_deleted_at" in record)
    present = sorted(record["id"] for record in records if "_ab_cdc_deleted_at" not in record)
    return present, deleted


def test_an_edited_record_is_emitted_in_its_current_form(api: Mocker) -> None:
    close = Close(api, event("acti_1"), event("acti_2", "created"), event("acti_1", "sent"), alive=["acti_1", "acti_2"])
    close.rows["acti_2"]["date_created"] = "2025-06-15T11:59:00+00:00"
    reading = read_changes("activities")
    assert reading.records == [close.rows["acti_1"], close.rows["acti_2"]]
    assert close.requested_by_id == [{"id__in": "acti_1,acti_2", "_limit": 100}]
    # Changed records belong to no window, so they do not move the state.
    assert reading.states()[-1] == {"date_created": "2025-06-15T00:00:00.000000+00:00"}


def test_changed_records_are_requested_100_at_a_time(api: Mocker) -> None:
    ids = [f"task_{number:03}" for number in range(250)]
    close = Close(api, *(event(one, kind="task.lead") for one in ids), alive=ids)
    assert read_changes("tasks").ids == ids
    assert [len(params["id__in"].split(",")) for params in close.requested_by_id] == [100, 100, 50]
    assert {params["_type"] for params in close.requested_by_id} == {"all"}


def test_records_after_some_that_do_not_exist_are_read_also_if_close_accepts_fewer_ids(api: Mocker) -> None:
    deleted = [f"acti_{number:03}" for number in range(50)]
    edited = [f"acti_{number:03}" for number in range(50, 100)]
    close = Close(api, *(event(one, "deleted") for one in deleted), *map(event, edited), alive=edited)
    close.most_ids = 50
    assert present_and_deleted(read_changes("activities").records) == (edited, deleted)


@pytest.mark.parametrize("says_more", [True, False])
def test_what_an_incomplete_response_lacks_is_requested_again(api: Mocker, says_more: bool) -> None:
    edited = [f"acti_{number:03}" for number in range(90)]
    deleted = [f"acti_{number:03}" for number in range(90, 120)]
    close = Close(api, *map(event, edited), *(event(one, "deleted") for one in deleted), alive=edited)
    close.most = 22
    close.says_more = says_more
    assert present_and_deleted(read_changes("activities").records) == (edited, deleted)


def test_changed_leads_are_requested_with_the_columns_of_the_search(api: Mocker) -> None:
    close = Close(api, event("lead_1", kind="lead"), alive=["lead_1"])
    assert read_changes("leads").records == [{**close.rows["lead_1"], "custom_fields": []}]
    [params] = close.requested_by_id
    assert params["_fields"].startswith("id,date_created,date_updated,")
    assert params["_fields"].endswith(",url,custom")


@pytest.mark.parametrize(
    ("stream", "ours", "others"),
    [
        (
            "activities",
            [
                *("activity.note", "activity.a_type_to_come", "activity.lead_merge", "lead_merge", "note", "call"),
                *("sms", "whatsapp_message", "meeting", "custom_activity", "form_submission", "lead_status_change"),
                *("opportunity_status_change", "task_completed", "created", "import_update", "email"),
            ],
            ["activity.email_thread", "activity_note", "task.lead", "lead", "notification.missed_call"],
        ),
        ("tasks", ["task", "task.lead", "task.a_type_to_come"], ["tasks", "activity.task_completed"]),
        ("leads", ["lead"], ["lead_merge", "lead.x", "contact"]),
    ],
)
def test_a_stream_follows_only_its_own_events(api: Mocker, stream: str, ours: list[str], others: list[str]) -> None:
    events = [event(f"id_{kind}", kind=kind) for kind in (*ours, *others)]
    close = Close(api, *events, alive=[one["object_id"] for one in events])
    read_changes(stream)
    [ids] = close.requested_ids
    assert ids.split(",") == sorted(f"id_{kind}" for kind in ours)


def test_the_lead_of_a_changed_part_is_read_if_no_window_has_emitted_it(api: Mocker) -> None:
    """Close's search may show a lead whose contact has changed later than the next sync looks for it."""
    events = [
        event("cont_1", kind="contact", lead_id="lead_1"),
        event("cont_2", "deleted", kind="contact", lead_id="lead_2"),
        event("oppo_1", kind="opportunity", lead_id="lead_3"),
        event("task_1", kind="task.lead", lead_id="lead_4"),
        event("cont_3", kind="contact", lead_id=None),
        event("acti_1", lead_id="lead_5"),
        event("oppo_2", kind="opportunity", lead_id="lead_3", previous_data={"lead_id": "lead_6"}),
        event("oppo_3", kind="opportunity", lead_id="lead_3", previous_data={"lead_id": None}),
    ]
    close = Close(api, *events, alive=["lead_1", "lead_2", "lead_3", "lead_4", "lead_5", "lead_6"])
    close.rows["lead_2"]["date_updated"] = "2025-06-15T10:00:00+00:00"
    api.post(f"{API}/data/search/", json={"data": [close.rows["lead_2"]], "cursor": None})
    # lead_6 is the one from which an opportunity was moved.
    assert read_changes("leads").ids == ["lead_2", "lead_1", "lead_3", "lead_4", "lead_6"]
    assert close.requested_ids[-1] == "lead_1,lead_3,lead_4,lead_6"


def test_updated_records_that_a_window_has_emitted_are_not_emitted_again(api: Mocker) -> None:
    deletions = [event("acti_3", "deleted"), event("acti_4", "deleted", hour="09")]
    close = Close(api, event("acti_1"), event("acti_2"), *deletions, alive=["acti_1", "acti_2", "acti_4"])
    dates = {"date_created": "2025-06-15T09:00:00+00:00", "date_updated": "2025-06-15T10:00:00+00:00"}
    seen = [{"id": one, **dates} for one in ("acti_1", "acti_3", "acti_4")]
    api.get(f"{API}/activity/", json={"data": seen, "has_more": False})
    # acti_3 was deleted after its window was read, so its deletion is emitted too. acti_4 was restored before.
    assert read_changes("activities").records == [*seen, close.rows["acti_2"], deletion("acti_3")]
    assert close.requested_ids == ["acti_2,acti_3,acti_4", "acti_3"]


def test_a_record_that_a_window_has_emitted_in_an_older_form_is_emitted_again(api: Mocker) -> None:
    """During incidents, Close's search shows changes late. An event may be 10 seconds later than the record's date."""
    ids = ["lead_1", "lead_2"]
    newest = [event(one, kind="lead", hour="10") for one in ids]
    older = [event(one, kind="lead", hour="09") for one in ids]
    close = Close(api, *newest, *older, alive=ids)
    close.rows["lead_1"]["date_updated"] = "2025-06-15T09:59:51.000000+00:00"
    close.rows["lead_2"]["date_updated"] = "2025-06-15T09:59:49.000000+00:00"
    api.post(f"{API}/data/search/", json={"data": list(close.rows.values()), "cursor": None})
    assert read_changes("leads").ids == ["lead_1", "lead_2", "lead_2"]
    assert close.requested_ids[-1] == "lead_2"


def test_a_record_that_a_window_has_emitted_without_a_date_is_emitted_again(api: Mocker) -> None:
    close = Close(api, event("acti_1"), alive=["acti_1"])
    seen = {"id": "acti_1", "date_created": "2025-06-15T09:00:00+00:00"}
    api.get(f"{API}/activity/", json={"data": [{**seen, "date_updated": None}], "has_more": False})
    assert read_changes("activities").records == [seen, close.rows["acti_1"]]


def test_a_deletion_requires_an_event_and_a_missing_record(api: Mocker) -> None:
    """acti_1 was deleted but exists again, acti_2 was deleted, and acti_3 was updated but is not returned."""
    events = [event("acti_1", "deleted"), event("acti_2", "deleted"), event("acti_3"), event("acti_2")]
    close = Close(api, *events, alive=["acti_1"])
    assert read_changes("activities").records == [close.rows["acti_1"], deletion("acti_2")]


def test_rows_that_were_not_requested_are_not_emitted(api: Mocker) -> None:
    """Close ignores a filter that it does not understand, and may then return other rows."""
    close = Close(api, event("acti_1"), alive=["acti_1"])
    close.strangers = [{"id": "acti_9", "date_created": CREATED}]
    assert read_changes("activities").ids == ["acti_1"]


@pytest.mark.parametrize("ids", [[], [f"acti_{number}" for number in range(2, 102)]], ids=["no rows", "other rows"])
def test_a_page_without_a_record_does_not_prove_its_deletion_if_more_follow(api: Mocker, ids: list[str]) -> None:
    Close(api, event("acti_1", "deleted"))
    rows = [{"id": one, "date_created": CREATED} for one in ids]
    api.post(f"{API}/activity/", json={"data": rows, "has_more": True})
    reading = read_changes("activities")
    assert reading.records == []
    [failure] = reading.failures
    assert failure.stream == "activities"
    assert "POST /api/v1/activity/ with a single id returned a page without that record" in failure.message


@pytest.mark.parametrize(
    ("stream", "kind", "previous", "cursor"),
    [
        # A meeting has its start as date_created.
        ("activities", "activity.meeting", {"date_created": "2025-07-01T09:00:00"}, START),
        ("activities", "activity.note", {"date_created": CREATED}, NOW),
        ("activities", "activity.note", {}, NOW),
        ("activities", "activity.note", {"date_created": "yesterday"}, NOW),
        ("activities", "activity.note", None, NOW),
        ("tasks", "task.lead", {"date_created": START}, NOW),
        ("leads", "lead", {"date_created": START}, NOW),
    ],
)
def test_a_deletion_is_not_older_than_the_earlier_rows_of_its_record(
    api: Mocker, stream: str, kind: str, previous: Row | None, cursor: str
) -> None:
    Close(api, event("x_1", "deleted", kind, previous_data=previous))
    assert read_changes(stream).records == [deletion("x_1", stream, cursor)]


def test_a_deletion_counts_also_if_other_events_of_the_object_have_another_type(api: Mocker) -> None:
    """A task may change its type, and Close may log an object with and without a prefix."""
    events = [
        event("task_1", "deleted", "task.outgoing_call", hour="11"),
        event("task_1", kind="task.lead", hour="10"),
        event("task_1", kind="task", hour="09"),
    ]
    for order in permutations(events):
        Close(api, *order)
        [row] = read_changes("tasks").records
        assert row["_ab_cdc_deleted_at"] == "2025-06-15T11:00:00.000000+00:00"


def test_the_latest_of_several_deletions_counts_in_any_order_of_events(api: Mocker) -> None:
    events = (
        event("acti_1", "deleted", hour="08", previous_data={"date_created": START}),
        event("acti_1", "deleted", hour="10"),
        event("acti_1", "created", hour="11"),
    )
    for order in permutations(events):
        Close(api, *order)
        assert read_changes("activities").records == [deletion("acti_1", cursor=START)]


def test_a_merge_updates_one_lead_and_deletes_the_other(api: Mocker, caplog: Log) -> None:
    meta = {"merge_source_lead_id": "lead_s", "merge_destination_lead_id": "lead_d"}
    # Events of records that a merge moved have the same meta; they do not report a deletion.
    moved = [event("lead_x", kind="lead", meta={"merge_source_lead_id": "lead_y"}), event("lead_z", "merged", "lead")]
    merged = event("lead_d", "merged", "lead", meta=meta, previous_data={"date_created": "2001-01-01T00:00:00+00:00"})
    close = Close(api, merged, *moved, alive=["lead_d", "lead_x", "lead_z"])
    records = read_changes("leads").records
    assert [row["id"] for row in records] == ["lead_d", "lead_x", "lead_z", "lead_s"]
    assert records[-1] == deletion("lead_s", "leads")
    assert close.requested_ids == ["lead_d,lead_s,lead_x,lead_z", "lead_s"]
    [warning] = warnings(caplog)
    assert warning.startswith("1 events of the event log (first: ev_lead_z_merged) don't say which object changed")


@pytest.mark.parametrize("gone", [404, 410])
def test_a_deleted_lead_that_is_still_in_the_index_is_requested_singly(api: Mocker, gone: int) -> None:
    events = [event(f"lead_{number}", "deleted", "lead") for number in (1, 2, 3, 5)]
    # A contact that is deleted with its lead may be logged later than the lead.
    contact = event("cont_1", "deleted", "contact", hour="11", lead_id="lead_1")
    Close(api, *events, contact, event("lead_4", kind="lead"), alive=["lead_3"], indexed=["lead_1", "lead_2", "lead_4"])
    api.get(f"{API}/lead/lead_1/", status_code=gone, json={"error": "No"})
    api.get(f"{API}/lead/lead_2/", json={"id": "lead_it_was_merged_into"})
    present, deleted = present_and_deleted(read_changes("leads").records)
    assert present == ["lead_3", "lead_4"]
    assert deleted == ["lead_1", "lead_2", "lead_5"]
    # No request checks whether lead_4 exists, which was only updated, or lead_5, which the index lacks as it should.
    single = [url.partition("?")[0] for url in requested(api, "/lead/lead")]
    assert single == ["/lead/lead_1/", "/lead/lead_2/", "/lead/lead_3/"]


def test_a_restored_lead_that_the_index_does_not_show_yet_is_not_reported_as_deleted(api: Mocker) -> None:
    Close(api, event("lead_1", "deleted", "lead"), event("lead_1", "updated", "lead", hour="11"))
    api.get(f"{API}/lead/lead_1/", json={"id": "lead_1", "date_created": CREATED, "date_updated": CREATED})
    assert present_and_deleted(read_changes("leads").records) == (["lead_1"], [])


def test_requests_for_single_leads_share_one_rate_limit(api: Mocker, clock: Clock) -> None:
    ids = ["lead_1", "lead_2", "lead_3"]
    Close(api, *[event(lead_id, "deleted", "lead") for lead_id in ids], indexed=ids)
    headers = {"ratelimit": "limit=1, remaining=0, reset=60"}
    for lead_id in ids:
        api.get(f"{API}/lead/{lead_id}/", status_code=404, json={}, headers=headers)
    began = clock.now
    assert read_changes("leads").records == [deletion(lead_id, "leads") for lead_id in ids]
    assert clock.now - began == pytest.approx(120, abs=1)


def test_an_id_from_the_log_can_not_lead_to_another_address(api: Mocker) -> None:
    odd = "../../me/?x="
    Close(api, event(odd, "deleted", "lead"), indexed=[odd])
    api.get(f"{API}/lead/..%2F..%2Fme%2F%3Fx%3D/", status_code=404, json={"error": "Not found"})
    assert [row["id"] for row in read_changes("leads").records] == [odd]
    [single] = [request.url for request in api.request_history if "/lead/.." in request.url]
    assert single.startswith(f"{API}/lead/..%2F..%2Fme%2F%3Fx%3D/?_fields=id")


@pytest.mark.parametrize(("status", "kind"), [(403, "config_error"), (404, "system_error"), (410, "system_error")])
def test_only_a_404_of_close_itself_proves_a_deletion(api: Mocker, status: int, kind: str) -> None:
    """That of a proxy is a page."""
    Close(api, event("lead_1", "deleted", "lead"), indexed=["lead_1"])
    api.get(f"{API}/lead/lead_1/", status_code=status, text="<html>Not found</html>")
    reading = read_changes("leads")
    assert reading.records == []
    [failure] = reading.failures
    assert failure.stream == "leads"
    assert failure.kind == kind


def test_a_refusal_with_a_list_of_records_proves_no_deletion(api: Mocker) -> None:
    Close(api, event("acti_1", "deleted"))
    api.post(f"{API}/activity/", status_code=400, json={"error": "Bad", "data": [{"id": "acti_1"}]})
    reading = read_changes("activities")
    assert reading.records == []
    [failure] = reading.failures
    assert failure.stream == "activities"
    assert failure.kind == "system_error"


def test_the_log_is_read_once_from_fifteen_minutes_before_the_oldest_position(api: Mocker) -> None:
    Close(api)
    first = {"data": [event("acti_1", hour="11"), event("task_1", kind="task.lead", hour="11")], "cursor_next": "two"}
    second = {"data": [event("lead_1", kind="lead", hour="11")], "cursor_next": None}
    api.get(f"{API}/event/", [{"json": first}, {"json": second}])
    states = {**STATES, "event_log": {"date_updated": "2025-06-15T11:00:00+00:00"}}
    positions = {"activities": "2025-06-15T11:30:00+00:00", "leads": "2025-06-15T11:15:00+00:00"}
    reading = read("activities", "leads", "tasks", state=states, event_log_positions=positions)
    assert set(reading.statuses.values()) == {"COMPLETE"}
    bounds = "date_updated__gte=2025-06-15T11:00:00.000000+00:00&date_updated__lt=2025-06-15T12:00:00.000000+00:00"
    assert requested(api, "/event") == [f"/event/?_limit=50&{bounds}", "/event/?_cursor=two&_limit=50"]
    reads_by_ids = [url for url in requested(api) if url in {"/activity/", "/lead/", "/task/"}]
    assert reads_by_ids == ["/activity/", "/lead/"]


def test_the_days_of_the_log_are_read_side_by_side_and_all_of_them_count(caplog: Log) -> None:
    """A page leads to the next one, so the days of a log of 30 days would otherwise wait for each other."""
    both_are_read = Barrier(2)

    def day(*events: Row) -> Any:
        def records() -> Iterator[Any]:
            both_are_read.wait(timeout=5)
            yield from (SimpleNamespace(data=row) for row in events)

        return SimpleNamespace(read=records)

    unclear = event("", hour="08")  # read again after an expired cursor or a failure, it counts once
    days = [day(event("a", hour="08"), event("b"), unclear), day(event("a", "deleted", hour="09"), unclear)]
    log: Any = SimpleNamespace(generate_partitions=lambda: iter(days))
    found = EventLog().changes("activities", log, workers=2)
    moments = {key: (change.changed_at[:19], change.deleted_at[:19]) for key, change in found.items()}
    assert moments == {
        ("activity.note", "a"): ("2025-06-15T08:59:50", "2025-06-15T09:00:00"),
        ("activity.note", "b"): ("2025-06-15T09:59:50", ""),
    }
    [warning] = warnings(caplog)
    assert warning.startswith("1 events of the event log (first: ev__updated) don't say which object changed")


def test_the_emails_of_a_deleted_thread_are_deleted_unless_close_still_returns_them(api: Mocker) -> None:
    """Close does not document whether it logs each email of a thread that is deleted."""
    emails = [{"id": f"acti_{number}", "date_created": CREATED} for number in (1, 2)]
    thread = {"emails": emails, "latest_emails": [emails[0], {"id": "acti_3"}, {"id": None}, "acti_4"]}
    events = [
        event("acti_t", "deleted", "activity.email_thread", previous_data=thread),
        event("acti_u", "deleted", "activity.email_thread", previous_data=None),
        event("acti_v", "deleted", "activity.email_thread", previous_data={"emails": 3, "latest_emails": None}),
        event("acti_w", "deleted", previous_data=thread | {"emails": [{"id": "acti_5"}]}),
        event("acti_x", "deleted", "email_thread", previous_data={"emails": [{"id": "acti_6"}]}),
    ]
    close = Close(api, *events, alive=["acti_2"])
    deletions = [deletion("acti_1"), deletion("acti_3"), deletion("acti_6"), deletion("acti_w")]
    assert read_changes("activities").records == [close.rows["acti_2"], *deletions]


def test_every_5000_events_of_the_log_are_announced(api: Mocker, caplog: Log) -> None:
    Close(api, *[event("acti_1")] * 10_000, alive=["acti_1"])
    read_changes("activities")
    text = "events of the event log, to follow the changes since the last sync."
    assert [line for line in caplog.messages if text in line] == [f"Read 5000 {text}", f"Read 10000 {text}"]


@pytest.mark.parametrize("status", [402, 403, 404])
def test_a_forbidden_log_logs_one_warning_and_the_streams_complete(api: Mocker, caplog: Log, status: int) -> None:
    Close(api)
    api.get(f"{API}/event/", status_code=status, json={"error": "No"})
    reading = read_changes("activities", "leads", "tasks")
    assert set(reading.statuses.values()) == {"COMPLETE"}
    [warning] = warnings(caplog)
    assert "The API key can't read the event log" in warning
    assert f'GET /api/v1/event/ answered {status}: «{{"error": "No"}}».' in warning
    assert len(requested(api, "/event")) == 1


@pytest.mark.parametrize(("status", "kind", "most"), [(400, "system_error", 1), (503, "transient_error", 20)])
def test_an_error_of_the_log_fails_each_stream(api: Mocker, clock: Clock, status: int, kind: str, most: int) -> None:
    Close(api)
    api.get(f"{API}/event/", status_code=status, json={"error": "No"})
    api.get(f"{API}/activity/", json={"data": [{"id": "acti_1", "date_created": CREATED}], "has_more": False})
    reading = read_changes("activities", "leads", "tasks")
    assert reading.ids == ["acti_1"], "the windows are emitted all the same"
    assert sorted(failure.stream for failure in reading.failures) == ["activities", "leads", "tasks"]
    text = f'GET /api/v1/event/ answered {status}: «{{"error": "No"}}».'
    for failure in reading.failures:
        assert failure.kind == kind
        assert failure.message.startswith(f"Stream {failure.stream}: {text}")
    assert len(requested(api, "/event")) <= most


NOT_TEXTS: list[Any] = [None, [1], 7, {}, "", True]
NOT_OBJECTS: list[Any] = [None, [1], 7, "text"]
# Fields that differ from the documentation of Close: of these events, it is not known which object changed, …
UNCLEAR: list[Row] = [
    *({"object_type": value} for value in NOT_TEXTS),
    *({"action": value} for value in NOT_TEXTS),
    *({"object_id": value} for value in NOT_TEXTS),
    *({"action": "merged", "meta": value} for value in NOT_OBJECTS),
    {"action": "merged", "meta": {"merge_source_lead_id": ["lead_1"]}},
    {"date_updated": "yesterday"},
]
# … and of these it is.
CLEAR: list[Row] = [
    {"object_type": "spaceship"},
    {"action": "teleported"},
    *({"action": "deleted", "previous_data": value} for value in NOT_OBJECTS),
    *({"action": "deleted", "meta": value} for value in NOT_OBJECTS),
]


def test_odd_events_fail_no_stream_and_one_warning_counts_those_that_are_not_clear(api: Mocker, caplog: Log) -> None:
    odd = [{**event(f"acti_{number}"), **fields} for number, fields in enumerate([*UNCLEAR, *CLEAR])]
    without_type = event("acti_without_type")
    del without_type["object_type"]
    Close(api, *odd, without_type, event("acti_edited"), alive=["acti_edited"])
    reading = read_changes("activities", "leads", "tasks")
    assert reading.statuses == dict.fromkeys(("activities", "leads", "tasks"), "COMPLETE")
    assert "acti_edited" in reading.ids
    [warning] = warnings(caplog)
    assert warning.startswith("25 events of the event log (first: ev_acti_23_updated) don't say which object changed")
    assert len(read("event_log", start_date="2025-06-15").ids) == len(odd) + 2
