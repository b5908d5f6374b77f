"""Activities: windows of 30 days, the cursor ``date_created``, and the attribution window as the lookback."""

import orjson
from requests_mock import Mocker

from unit_tests.syncs import API, Row, read, requested

URL = f"{API}/activity/"


def activity(number: int, created: str) -> Row:
    return {
        "id": f"acti_{number}",
        "_type": "Note",
        "date_created": created,
        "date_updated": "2025-06-14T00:00:00+00:00",
    }


def window(start: str, end: str) -> str:
    return f"/activity/?_limit=100&_skip=0&date_created__gte={start}&date_created__lt={end}"


def respond(api: Mocker, *rows: Row, has_more: bool = False) -> None:
    api.get(URL, json={"data": list(rows), "has_more": has_more})


def test_a_first_sync_starts_one_attribution_window_before_the_start_date(api: Mocker) -> None:
    respond(api)
    reading = read("activities", start_date="2025-05-01", attribution_window_hours=48)
    assert requested(api) == [
        window("2025-04-29T00:00:00.000000+00:00", "2025-05-29T00:00:00.000000+00:00"),
        window("2025-05-29T00:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00"),
    ]
    assert reading.statuses == {"activities": "COMPLETE"}
    assert reading.states()[-1] == {"date_created": "2025-04-29T00:00:00.000000+00:00"}


def test_a_later_sync_reads_the_attribution_window_again(api: Mocker) -> None:
    respond(api)
    read("activities", state={"activities": {"date_created": "2025-06-15T06:00:00.000000+00:00"}})
    assert requested(api) == [window("2025-06-14T06:00:00.000000+00:00", "2025-06-15T12:00:00.000000+00:00")]


def test_the_state_is_the_newest_date_created(api: Mocker) -> None:
    newest = "2025-06-15T11:59:59.999000+00:00"
    respond(api, activity(2, newest), activity(1, "2025-06-15T10:00:00+00:00"))
    reading = read("activities", state={"activities": {"date_created": "2025-06-15T06:00:00.000000+00:00"}})
    assert reading.ids == ["acti_2", "acti_1"]
    assert reading.states()[-1] == {"date_created": newest}


def test_records_of_the_attribution_window_do_not_move_the_state_back(api: Mocker) -> None:
    respond(api, activity(1, "2025-06-14T08:00:00+00:00"))
    state = {"date_created": "2025-06-15T06:00:00.000000+00:00"}
    reading = read("activities", state={"activities": state})
    assert reading.ids == ["acti_1"]
    assert reading.states()[-1] == state


def test_records_are_emitted_as_close_sends_them(api: Mocker) -> None:
    row = {**activity(1, "2025-06-15T11:00:00+00:00"), "custom.cf_1": ["a"], "attachments": [{"size": 1.5}], "n": None}
    respond(api, row)
    assert read("activities", start_date="2025-06-15").records == [row]


def test_a_flag_that_is_a_number_becomes_a_boolean(api: Mocker) -> None:
    rows = [
        {**activity(n, "2025-06-15T11:00:00+00:00"), "need_smtp_credentials": flag}
        for n, flag in enumerate((0, 1, True, None))
    ]
    respond(api, *rows, activity(9, "2025-06-15T11:00:00+00:00"))
    flags = [row.get("need_smtp_credentials", "absent") for row in read("activities", start_date="2025-06-15").records]
    assert orjson.dumps(flags) == b'[false,true,true,null,"absent"]'  # compared as JSON, because 0 == False in Python


def test_a_draft_of_any_form_becomes_text(api: Mocker) -> None:
    drafts = ["Hello", {"body": "Hello"}, ["Hello"], True, None]
    rows = [{**activity(n, "2025-06-15T11:00:00+00:00"), "ai_draft": draft} for n, draft in enumerate(drafts)]
    respond(api, *rows)
    found = [row["ai_draft"] for row in read("activities", start_date="2025-06-15").records]
    assert found == ["Hello", '{"body":"Hello"}', '["Hello"]', "true", None]
