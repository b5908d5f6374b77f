"""The streams with lists: the requests of a first and of a later sync, records and states."""

import itertools
import json

import orjson
import pytest
from requests_mock import ANY, Mocker

from unit_tests.syncs import API, Log, Row, cursor_of, leads, read, read_with_positions, requested, warnings

WINDOW = {
    "activities": "/activity/?_limit=100&_skip=0&date_created__gte={}&date_created__lt={}",
    "event_log": "/event/?_limit=50&date_updated__gte={}&date_updated__lt={}",
    "tasks": "/task/?_limit=1000&_order_by=date_created&_skip=0&_type=all&date_updated__gte={}&date_updated__lt={}",
}
USERS = [
    {"id": "user_1", "date_updated": "2016-01-01T00:00:00+00:00"},
    {"id": "user_2", "date_updated": "2025-06-01T00:00:00.000000+00:00"},
    {"id": "user_3", "date_updated": "2025-06-01T00:00:00.001000+00:00"},
    {"id": "user_4", "date_updated": "2025-05-31T23:59:59.999000+00:00"},
    {"id": "user_5", "date_updated": "2031-01-01T00:00:00+00:00"},
]
DEEP = '{"in": [' * 150 + '"the end"' + "]}" * 150


def respond(api: Mocker, *rows: Row) -> None:
    """Let every list have these rows. An empty cursor ends a list, as none does."""
    api.get(ANY, json={"data": list(rows), "has_more": False, "cursor_next": ""})


def windows(stream: str, *minutes: str) -> list[str]:
    """Return the requests of windows that end at these minutes, without the first, at which they begin."""
    bounds = [f"{minute}:00.000000+00:00" for minute in minutes]
    return [WINDOW[stream].format(start, end) for start, end in itertools.pairwise(bounds)]


@pytest.mark.parametrize(
    ("stream", "config", "bounds"),
    [
        # One attribution window before the start date.
        (
            "activities",
            {"start_date": "2025-05-15", "attribution_window_hours": 48},
            ["2025-05-13T00:00", "2025-05-30T00:00", "2025-06-15T12:00"],
        ),
        ("tasks", {"start_date": "2025-05-20T06:00:00Z"}, ["2025-05-20T06:00", "2025-06-04T06:00", "2025-06-15T12:00"]),
        ("event_log", {"start_date": "2025-06-15T00:00:00Z"}, ["2025-06-15T00:00", "2025-06-15T12:00"]),
        # Close keeps events for 30 days.
        (
            "event_log",
            {"start_date": "2020-01-01"},
            [f"2025-05-{day}T12:00" for day in range(16, 32)] + [f"2025-06-{day:02}T12:00" for day in range(1, 16)],
        ),
    ],
)
def test_a_first_sync_reads_windows_up_to_its_start(api: Mocker, stream: str, config: Row, bounds: list[str]) -> None:
    respond(api)
    reading = read(stream, **config)
    assert requested(api) == windows(stream, *bounds)
    assert reading.statuses == {stream: "COMPLETE"}
    assert reading.states()[-1] == {cursor_of(stream): f"{bounds[0]}:00.000000+00:00"}


def test_the_state_does_not_pass_an_attribution_window_that_can_not_be_read(api: Mocker) -> None:
    saved = {"date_created": "2025-06-14T12:00:00.000000+00:00"}
    api.get(f"{API}/activity/", status_code=403)
    reading = read("activities", state={"activities": saved}, attribution_window_hours=720)
    assert requested(api) == windows("activities", "2025-05-15T12:00", "2025-06-15T12:00")
    assert reading.failures[0].stream == "activities"
    assert [state for state in reading.states() if state != saved] == []


@pytest.mark.parametrize(
    ("stream", "saved", "start"),
    [
        ("activities", "2025-06-15T06:00:00.000000+00:00", "2025-06-14T06:00"),
        ("event_log", "2025-06-15T11:50:00", "2025-06-15T11:40"),
        ("tasks", "2025-06-15T11:40:00.000000+00:00", "2025-06-15T11:35"),
    ],
)
def test_a_later_sync_reads_the_lookback_and_removes_nulls(api: Mocker, stream: str, saved: str, start: str) -> None:
    cursor = cursor_of(stream) or ""
    newest = "2025-06-15T11:59:59.999000+00:00"
    odd = {"custom.cf_1": ["a"], "attachments": [{"size": 1.5, "n": None}]}
    rows: list[Row] = [{"id": "new", cursor: newest, **odd}, {"id": "old", cursor: "2025-06-15T11:50:00+00:00"}]
    respond(api, *({**row, "n": None} for row in rows))
    reading = read(stream, state={stream: {cursor: saved}})
    assert requested(api) == windows(stream, start, "2025-06-15T12:00")
    assert reading.records == rows
    assert reading.states()[-1] == {cursor: newest}


def test_records_of_the_attribution_window_do_not_move_the_state_back(api: Mocker) -> None:
    respond(api, {"id": "acti_1", "date_created": "2025-06-14T08:00:00+00:00"})
    state = {"date_created": "2025-06-15T06:00:00.000000+00:00"}
    reading = read("activities", state={"activities": state})
    assert reading.ids == ["acti_1"]
    assert reading.states()[-1] == state


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
    respond(api, {"id": "task_1", "date_updated": written})
    assert read("tasks", start_date="2025-06-01").states()[-1] == {"date_updated": "2025-06-14T10:00:00.000000+00:00"}


@pytest.mark.parametrize("written", ["2025-06-14T12:00:00+02:00", "2025-06-14T12:00:00.000000+02:00"])
def test_a_date_with_an_offset_does_not_move_the_state_past_its_moment(api: Mocker, written: str) -> None:
    """The next sync would begin two hours too late, and skip what changed in between."""
    respond(api, {"id": "task_1", "date_updated": written})
    reading = read("tasks", start_date="2025-06-01")
    assert reading.ids == ["task_1"]
    assert reading.states()[-1]["date_updated"] <= "2025-06-14T10:00:00.000000+00:00"


@pytest.mark.parametrize("stream", ["activities", "event_log", "leads", "tasks", "users"])
def test_records_without_a_readable_date_are_emitted_with_one_warning(api: Mocker, caplog: Log, stream: str) -> None:
    cursor = cursor_of(stream) or ""
    yesterday = "2025-06-14T13:00:00.000000+00:00"
    dates = [yesterday, None, "yesterday"]
    rows = [{"id": f"x_{number}", "date_created": at, "date_updated": at} for number, at in enumerate(dates)]
    respond(api, *rows)
    leads(api, {"json": {"data": rows, "cursor": None}})
    reading = read_with_positions(stream, start_date="2025-06-14T12:00:00Z", attribution_window_hours=0)
    assert reading.ids == ["x_0", "x_1", "x_2"]
    assert reading.states()[-1][cursor] == yesterday
    [warning] = warnings(caplog)
    assert warning.startswith(f"Could not find cursor field `{cursor}` in record for stream {stream}.")


@pytest.mark.parametrize("stream", ["custom_fields", "users"])
@pytest.mark.parametrize("is_refreshed", [True, False])
def test_a_whole_list_emits_what_is_edited_meanwhile_but_its_state_is_not_after_the_start_of_the_sync(
    api: Mocker, stream: str, *, is_refreshed: bool
) -> None:
    """Other lists may have been read before, and lack edits that are older."""
    before = "2025-06-15T11:00:00.000000+00:00"
    after = "2025-06-15T12:30:00.000000+00:00"
    respond(api, {"id": "x_1", "date_updated": before}, {"id": "x_2", "date_updated": after})
    reading = read_with_positions(stream, whole=[stream] if is_refreshed else [])
    assert set(reading.ids) == {"x_1", "x_2"}
    state = reading.states()[-1]
    assert state.get("state", state)["date_updated"] == before


def test_a_first_sync_of_a_whole_list_emits_every_record_regardless_of_the_start_date(api: Mocker) -> None:
    respond(api, *USERS)
    reading = read("users", start_date="2025-06-10")
    assert reading.ids == ["user_1", "user_2", "user_3", "user_4", "user_5"]
    assert requested(api) == ["/user/?_limit=1000&_skip=0"]
    assert reading.statuses == {"users": "COMPLETE"}


def test_a_later_sync_of_a_whole_list_emits_what_changed_since_ten_minutes_before_the_state(api: Mocker) -> None:
    respond(api, *USERS)
    state = {"users": {"date_updated": "2025-06-01T00:10:00.000000+00:00"}}
    assert read("users", state=state).ids == ["user_2", "user_3", "user_5"]
    assert requested(api) == ["/user/?_limit=1000&_skip=0"]


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
    respond(api, {"id": "user_1", "date_updated": updated})
    reading = read("users", state={"users": {"date_updated": "2025-06-01T00:10:00.000000+00:00"}})
    assert reading.ids == (["user_1"] if is_emitted else [])


@pytest.mark.parametrize(
    ("stream", "column", "given", "emitted"),
    [
        ("activities", "need_smtp_credentials", [0, 1, True, None], [False, True, True, "absent"]),
        (
            "activities",
            "ai_draft",
            ["Hi", {"body": "Hi"}, ["Hi"], True, None],
            ["Hi", '{"body":"Hi"}', '["Hi"]', "true", "absent"],
        ),
        (
            "custom_fields",
            "enrichment_options",
            ["on", {"prompt": "Who?"}, [1], None],
            ["on", '{"prompt":"Who?"}', "[1]", "absent"],
        ),
        (
            "event_log",
            "data",
            [{"name": 'Zoë "Z" 🚀', "n": 1.5, "none": None}, None, []],
            ['{"name":"Zoë \\"Z\\" 🚀","n":1.5,"none":null}', "absent", "[]"],
        ),
        ("event_log", "data", [json.loads(DEEP)], [DEEP]),
        (
            "event_log",
            "previous_data",
            [{}, {"deep": {"list": [1, True]}}, 0, "lost"],
            ["{}", '{"deep":{"list":[1,true]}}', "0", '"lost"'],
        ),
        ("tasks", "priority", ["high", 1, 2.5, None, {"n": 1}], ["high", "1", "2.5", "absent", '{"n":1}']),
    ],
)
def test_a_value_of_any_form_gets_the_type_of_its_column(
    api: Mocker, stream: str, column: str, given: list[object], emitted: list[object]
) -> None:
    rows = [{"id": f"x_{number}", column: value} for number, value in enumerate(given)]
    respond(api, *rows, {"id": "x_none"})
    found = {row["id"]: row.get(column, "absent") for row in read(stream, start_date="2025-06-15").records}
    # Compared as JSON, because 0 == False in Python.
    assert orjson.dumps(list(found.values())) == orjson.dumps([*emitted, "absent"])


def test_json_that_is_unusual_or_not_quite_valid_is_read(api: Mocker) -> None:
    """The response begins with a byte order mark."""
    values = {
        rb'"Half a pair: \ud83d"': "Half a pair: \N{REPLACEMENT CHARACTER}",
        rb'"A pair: \ud83d\ude00"': "A pair: \N{GRINNING FACE}",
        b"NaN": "absent",
        b"-Infinity": "absent",
        b"1" * 40: float("1" * 40),
    }
    rows = [b'{"id":"user_%d","first_name":%b}' % (number, value) for number, value in enumerate(values)]
    api.get(f"{API}/user/", content=b'\xef\xbb\xbf{"data":[%b]}' % b",".join(rows))
    assert [row.get("first_name", "absent") for row in read("users").records] == list(values.values())
