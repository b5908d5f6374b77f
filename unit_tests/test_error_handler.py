"""The error handler: the error table, incomplete responses, retries, and messages that never contain the key."""

import itertools
import threading
from typing import Any

import pytest
import requests
from requests_mock import ANY, Mocker

from source_close.api.repeated_pages import RepeatedPages
from source_close.api.sync import ANY_REQUEST, Sync
from source_close.dates import parse_moment
from unit_tests.syncs import API, KINDS, Clock, Failure, Row, read, requested

USERS = f"{API}/user/"
REQUEST = "GET /api/v1/user/"
PAGE = {"data": [{"id": "user_1", "date_updated": "2025-06-01T00:00:00+00:00"}], "has_more": False}
NO_RESPONSE = "Close could not be reached, or the connection broke."
ALSO_AN_ERROR = "failed: the response has the status of a success, but also an error: {'error': 'Try later'}."
NO_LIST = "failed: the response has no list of records in data, only: id, error."
NO_ID = "failed: the response has a record whose id is missing or not a text."
UNREADABLE = "The response is not what the connector requested."
# Seconds between the attempts of a request that always fails: the last wait begins before RETRY_SECONDS are over.
RETRY_SECONDS = 60
WAITS = [2.2, 3.4, 5.8, 10.6, 20.2, 39.4]
ATTEMPTS = 7
# The statuses of each meaning, also some that the manifest does not name. Other tests have 401 and 429.
TABLE = [
    ([300, 301, 302, 303, 307, 308], "config_error", "The response is a redirect that the connector does not follow"),
    ([400, 406, 409, 418, 422, 451], "system_error", "Close rejected the request as invalid."),
    ([402], "config_error", "The organization's Close plan does not include this."),
    ([403], "config_error", "The API key's user has no permission to read this."),
    ([404, 405, 410], "system_error", "Close does not accept requests to this address:"),
    ([407], "config_error", "The proxy between the connector and Close requires a user name and a password"),
    ([408, 425, 500, 502, 599, 999], "transient_error", "Close has a problem."),
]


def failure_of_users() -> Failure:
    """Read users, and return the failure of that stream."""
    [failure] = read("users", retry_seconds=RETRY_SECONDS).failures
    assert failure.stream == "users"
    return failure


@pytest.mark.parametrize(
    ("status", "kind", "meaning"),
    [(status, kind, meaning) for statuses, kind, meaning in TABLE for status in statuses],
)
def test_a_status_has_its_failure_type_message_and_attempts(api: Mocker, status: int, kind: str, meaning: str) -> None:
    api.get(USERS, status_code=status, json={"error": "Words"})
    failure = failure_of_users()
    assert failure.kind == kind
    assert failure.message.startswith(f'Stream users: {REQUEST} answered {status}: «{{"error": "Words"}}». {meaning}')
    assert api.call_count == (ATTEMPTS if kind == "transient_error" else 1)


def test_an_outage_is_waited_for_once_and_not_by_each_endpoint_in_turn(api: Mocker) -> None:
    api.get(ANY, status_code=503)
    reading = read("custom_fields", retry_seconds=RETRY_SECONDS, num_workers=1)
    assert reading.statuses == {"custom_fields": "INCOMPLETE"}
    # Each of the others is retried for 20 seconds.
    assert len(requested(api)) == ATTEMPTS + 5 * (len(KINDS) - 1)


def test_an_endpoint_is_retried_although_another_has_waited_for_its_rate_limit(api: Mocker) -> None:
    api.get(f"{API}/custom_field/lead/", status_code=429, headers={"retry-after": str(RETRY_SECONDS - 1)})
    trouble = [{"status_code": 503}] * 5  # 42 seconds
    api.get(f"{API}/custom_field/contact/", [*trouble, {"json": {"data": []}}])
    [failure] = read("custom_fields", retry_seconds=RETRY_SECONDS, num_workers=1).failures
    assert "GET /api/v1/custom_field/lead/ answered 429" in failure.message
    assert len(requested(api, "/custom_field/contact/")) == 6


def test_a_rejected_key_fails_all_streams_after_one_request_of_each_at_most(api: Mocker) -> None:
    api.get(ANY, status_code=401, json={"error": "Unauthorized"})
    api.post(ANY, status_code=401, json={"error": "Unauthorized"})
    reading = read("users", "tasks", "leads", "custom_fields")
    assert api.call_count <= 4
    assert {stream for stream, _, _ in reading.failures} == {"users", "tasks", "leads", "custom_fields"}
    for stream, kind, message in reading.failures:
        assert kind == "config_error"
        assert message.startswith(f"Stream {stream}: ")
        assert ' answered 401: «{"error": "Unauthorized"}». Close does not accept the API key' in message


def test_the_waits_between_attempts_grow_until_the_retry_time_is_over(api: Mocker, clock: Clock) -> None:
    sent: list[float] = []

    def trouble(request: Any, context: Any) -> str:
        sent.append(clock.now)
        context.status_code = 503
        return ""

    api.get(USERS, text=trouble)
    failure = failure_of_users()
    assert [round(later - earlier, 3) for earlier, later in itertools.pairwise(sent)] == WAITS
    assert failure.kind == "transient_error"
    assert failure.message == (
        f"Stream users: {REQUEST} answered 503 without a text. Close has a problem. Check status.close.com for "
        "outages. The next sync continues from the last saved state."
    )


@pytest.mark.parametrize(
    "response",
    [
        {"status_code": 502, "text": "<html>"},
        # Only the missing part would say what Close refuses.
        {"status_code": 400, "text": '{"errors": [], "field-errors": {"_ski'},
        {"exc": requests.ConnectionError("Connection refused")},
        {"exc": requests.exceptions.ChunkedEncodingError("Connection broken: IncompleteRead")},
        {"text": '{"data": [{"id": "user_1"}, {"id": "us'},
        {"text": ""},
        {"text": "null"},
        {"text": "[]"},
        {"text": '{"data": {}, "has_more": false}'},
        {"text": '{"data": ["user_1"], "has_more": false}'},
        {"json": {"data": [], "errors": ["Try later"]}},
        {"json": {"data": [], "field-errors": {"_limit": "Try later"}}},
        # Only a proxy that answers 407 asks for a password.
        {"exc": requests.exceptions.ProxyError("url: /user/?_skip=40788 (Caused by ProxyError('Unable to connect'))")},
    ],
    ids=lambda response: " ".join(str(part) for part in response.values())[:60] or "empty",
)
def test_a_request_with_a_failed_or_incomplete_response_is_retried(api: Mocker, response: Row) -> None:
    api.get(USERS, [response, response, {"json": PAGE}])
    reading = read("users")
    assert reading.ids == ["user_1"]
    assert reading.statuses == {"users": "COMPLETE"}
    assert api.call_count == 3


@pytest.mark.parametrize(
    ("response", "happened", "meaning"),
    [
        ({"exc": requests.ConnectionError("Connection refused")}, "failed: Connection refused.", NO_RESPONSE),
        ({"exc": requests.ReadTimeout("Read timed out. (read timeout=45)")}, "failed: Read timed out.", NO_RESPONSE),
        ({"text": '{"data": ['}, "failed: the response (200) is not complete JSON (10 bytes", UNREADABLE),
        ({"content": b'{"data":["\xff\xfe"]}'}, "failed: the response (200) is not complete JSON", UNREADABLE),
        ({"text": '{"in":' * 5_000}, "failed: the response (200) is not complete JSON", UNREADABLE),
        ({"text": "{}"}, "failed: the response has no list of records in data, only: nothing.", UNREADABLE),
        ({"json": {"data": [], "errors": [], "error": "Try later"}}, ALSO_AN_ERROR, UNREADABLE),
        ({"json": {"id": "request_1", "error": "Busy"}}, NO_LIST, UNREADABLE),
        ({"json": {"data": [{"id": None}]}}, NO_ID, UNREADABLE),
        ({"json": {"data": [{"id": ["a"]}]}}, NO_ID, UNREADABLE),
    ],
    ids=["refused", "timeout", "cut", "not UTF-8", "too deep", "no list", "error too", "an error", "no id", "no text"],
)
def test_an_endpoint_that_stays_down_fails_the_stream(api: Mocker, response: Row, happened: str, meaning: str) -> None:
    api.get(USERS, **response)
    failure = failure_of_users()
    assert failure.kind == "transient_error"
    assert failure.message.startswith(f"Stream users: {REQUEST} {happened}")
    assert meaning in failure.message
    assert api.call_count == ATTEMPTS


def test_a_read_by_ids_that_created_a_record_is_not_made_again(api: Mocker) -> None:
    lead = {"id": "lead_1", "date_created": "2025-01-01T00:00:00Z", "date_updated": "2025-06-01T00:00:00Z"}
    api.post(f"{API}/data/search/", json={"data": [lead], "cursor": None})
    api.post(f"{API}/lead/", json={**lead, "id": "lead_2"})
    reading = read("leads", start_date="2025-06-01")
    assert requested(api, "/lead/") == ["/lead/"]
    assert reading.statuses == {"leads": "INCOMPLETE"}
    [failure] = reading.failures
    assert failure.kind == "config_error"
    text = "POST /api/v1/lead/ failed: the response is a single record instead of a list. Something between"
    assert text in failure.message


def test_an_endpoint_that_is_down_is_given_up_while_others_succeed(api: Mocker) -> None:
    sync = Sync(custom_field_columns=False, retry_seconds=RETRY_SECONDS)

    def trouble(request: Any, context: Any) -> str:
        sync.failing_since.pop(ANY_REQUEST, None)  # as the success of a request to another endpoint does
        context.status_code = 503
        return ""

    api.get(f"{API}/task/", text=trouble)
    [message] = {failure.message for failure in read("tasks", start_date="2025-01-01", sync=sync).failures}
    assert message.startswith("Stream tasks: GET /api/v1/task/ answered 503 without a text.")
    assert api.call_count == ATTEMPTS


def test_the_retry_time_restarts_after_each_success(api: Mocker, clock: Clock) -> None:
    trouble = [{"status_code": 503}] * 5  # 42 seconds
    window = {"json": {"data": [{"id": "task_1"}], "has_more": False}}
    api.get(f"{API}/task/", [*trouble, window, *trouble, window])
    assert read("tasks", start_date="2025-05-10", retry_seconds=RETRY_SECONDS).statuses == {"tasks": "COMPLETE"}
    assert clock.now - 1000 > RETRY_SECONDS


def test_a_list_that_repeats_itself_is_noticed_while_another_worker_reads_lists_to_their_ends(api: Mocker) -> None:
    api.get(f"{API}/event/")
    pages = RepeatedPages()
    repeated = requests.get(f"{API}/event/?_cursor=two&_limit=50", timeout=1)
    last = requests.get(f"{API}/event/?_cursor=three&_limit=50", timeout=1)
    last_page = {"data": [{"id": "ev_2"}], "cursor_next": None}
    found = []
    for _ in range(4):
        found.append(pages.is_endless(repeated, {"data": [{"id": "ev_1"}], "cursor_next": "two"}))
        other = threading.Thread(target=pages.is_endless, args=(last, last_page))
        other.start()
        other.join()
    assert found == [False, False, False, True]


@pytest.mark.parametrize("ids", [["x_1"], []], ids=["the same row", "no rows"])
@pytest.mark.parametrize(
    ("stream", "path", "more", "pages"),
    [
        ("activities", "/activity/", {"has_more": True}, 4),
        ("users", "/user/", {"has_more": True}, 4),
        ("event_log", "/event/", {"cursor_next": "again"}, 5),
        ("leads", "/data/search/", {"cursor": "again"}, 6),
    ],
)
def test_a_list_that_repeats_a_page_three_times_fails_the_stream(
    api: Mocker, ids: list[str], stream: str, path: str, more: Row, pages: int
) -> None:
    stamps = {"date_created": "2025-06-15T11:00:00+00:00", "date_updated": "2025-06-15T11:00:00+00:00"}
    rows = [{"id": one, **stamps} for one in ids]
    api.register_uri(ANY, f"{API}{path}", json={"data": rows, **more})
    [failure] = read(stream, start_date="2025-06-15").failures
    assert f"{path}: the list repeats the same page of {len(ids)} records and says that more follow." in failure.message
    assert len(requested(api, path)) == pages


def test_a_request_that_fails_while_others_to_its_endpoint_succeed_is_given_up(api: Mocker, clock: Clock) -> None:
    sync = Sync(custom_field_columns=False, retry_seconds=RETRY_SECONDS)

    def trouble(request: Any, context: Any) -> str:
        sync.failing_since.clear()  # as the success of another request does
        context.status_code = 503
        return ""

    api.get(USERS, text=trouble)
    assert read("users", sync=sync, clock=clock).statuses == {"users": "INCOMPLETE"}
    assert RETRY_SECONDS < clock.now - 1000 < 3 * RETRY_SECONDS


@pytest.mark.parametrize(
    ("headers", "body", "least", "most"),
    [
        ({"Retry-After": "7"}, None, 7, 9),
        ({"Retry-After": "-5"}, None, 1, 4),
        ({"RateLimit": "limit=20, remaining=10, reset=6"}, None, 1, 4),
        ({"Retry-After": "0"}, None, 1, 4),
        ({"Retry-After": "soon"}, {"error": {"rate_reset": -2}}, 1, 4),
        ({}, {"rate_reset": "7"}, 7, 9),
        ({}, {"rate_reset": 1.25, "error": "Too many requests"}, 1.25, 2.25),
        ({}, {"rate_reset": "soon"}, 1, 4),
        ({}, ["rate_reset"], 1, 4),
        ({"Retry-After": "0.5"}, None, 0.5, 1.5),
        ({"RateLimit": "limit=20, remaining=0, reset=6"}, None, 6, 7),
        ({"Retry-After": "Sun, 15 Jun 2025 12:00:20 GMT"}, None, 1, 4),
        ({"Retry-After": "inf"}, None, 1, 4),
        ({"Retry-After": "13", "RateLimit": "limit=10, remaining=0, reset=12.5"}, None, 12.5, 13.5),
    ],
)
def test_the_wait_is_that_of_the_rate_limit_else_of_retry_after_else_of_the_body_else_that_of_a_first_retry(
    api: Mocker, clock: Clock, headers: dict[str, str], body: Row | None, least: float, most: float
) -> None:
    api.get(USERS, [{"status_code": 429, "headers": headers, "json": body}, {"json": PAGE}])
    assert read("users").ids == ["user_1"]
    assert api.call_count == 2
    assert least <= clock.now - 1000 <= most


@pytest.mark.parametrize(("status", "wait"), [(429, "3600"), (429, "1000000000000"), (503, "3600")])
def test_a_wait_that_is_too_long_fails_at_once(api: Mocker, clock: Clock, status: int, wait: str) -> None:
    api.get(USERS, status_code=status, headers={"Retry-After": wait}, json={"error": "Wait"})
    text = f'Stream users: {REQUEST} answered {status}: «{{"error": "Wait"}}». It asks to wait {wait} s.'
    assert failure_of_users().message.startswith(text)
    assert api.call_count == 1
    assert clock.now == 1000


def test_an_unusable_success_that_asks_for_a_long_wait_fails_at_once(api: Mocker, clock: Clock) -> None:
    api.get(USERS, text="<html>Maintenance", headers={"Retry-After": "3600"})
    assert "It asks to wait 3600 s." in failure_of_users().message
    assert api.call_count == 1
    assert clock.now == 1000


def test_repeated_429s_are_retried_until_the_retry_time_is_over(api: Mocker, clock: Clock) -> None:
    api.get(USERS, status_code=429, headers={"Retry-After": "0.5"}, json={"error": "Too many requests"})
    [failure] = read("users").failures
    assert failure.kind == "transient_error"
    assert api.call_count > 200
    assert 300 < clock.now - 1000 <= 305
    text = f'Stream users: {REQUEST} answered 429: «{{"error": "Too many requests"}}». Close refuses more requests for'
    assert failure.message.startswith(text)


def test_after_many_short_waits_that_close_asked_for_a_wait_without_one_is_a_minute(api: Mocker, clock: Clock) -> None:
    short = {"status_code": 429, "headers": {"Retry-After": "0.5"}}
    api.get(USERS, [*[short] * 15, {"status_code": 503}, {"json": PAGE}])
    assert read("users").ids == ["user_1"]
    assert clock.now - 1000 == pytest.approx(15 * 1.5 + 61)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<html>\n  <h1>Bad   gateway</h1></html>", "<html> <h1>Bad gateway</h1></html>"),
        ('{"error": "Ungültig – 無効"}', '{"error": "Ungültig – 無効"}'),
        ("x" * 1000, "x" * 300),
        ("", ""),
        ('{"error":' * 900 + '"Too deep"' + "}" * 900, ('{"error":' * 900)[:300]),
    ],
    ids=lambda text: text[:30],
)
def test_the_message_quotes_every_form_of_body(api: Mocker, body: str, text: str) -> None:
    api.get(USERS, status_code=400, content=body.encode())
    quote = f": «{text}»" if text else " without a text"
    assert failure_of_users().message.startswith(f"Stream users: {REQUEST} answered 400{quote}. Close rejected")


def test_an_error_is_quoted_whatever_its_encoding_is_called(api: Mocker) -> None:
    api.get(USERS, status_code=403, content=b"Forbidden", headers={"content-type": "text/html; charset=undefined"})
    assert failure_of_users().message.startswith(f"Stream users: {REQUEST} answered 403: «Forbidden». ")


def test_a_quote_that_is_cut_in_the_middle_of_the_header_with_the_key_shows_no_part_of_it(api: Mocker) -> None:
    api.get(USERS, status_code=403, text=lambda request, _: "Odd" * 96 + request.headers["Authorization"])
    assert "OddBasic ****" in failure_of_users().message


def test_a_clock_that_is_ahead_of_closes_fails_the_stream_and_names_the_moment(api: Mocker) -> None:
    """The sync starts at 12:00:00 by the local clock."""
    api.get(USERS, json=PAGE, headers={"Date": "Sun, 15 Jun 2025 11:54:59 GMT"})
    failure = failure_of_users()
    assert failure.kind == "config_error"
    assert api.call_count == 1
    text = "Stream users: this machine's clock is 301 seconds ahead of Close's, which shows Sun, 15 Jun 2025 11:54:59"
    assert failure.message.startswith(text)


def test_a_clock_that_was_set_back_after_the_start_fails_the_stream(api: Mocker) -> None:
    """The sync starts at 12:00:00 by a clock that is ahead, and saves that as the position in the event log."""
    api.get(USERS, json=PAGE, headers={"Date": "Sun, 15 Jun 2025 11:54:59 GMT"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("source_close.api.authenticator.utc_now", lambda: parse_moment("2025-06-15T11:55:00Z"))
        failure = failure_of_users()
    assert failure.kind == "config_error"
    assert api.call_count == 1
    assert "clock is 301 seconds ahead" in failure.message


def test_the_clock_is_compared_at_the_time_of_the_request_that_got_the_response(api: Mocker, clock: Clock) -> None:
    """The second request is sent two seconds after 12:00:00."""
    api.get(USERS, [{"status_code": 500}, {"json": PAGE, "headers": {"Date": "Sun, 15 Jun 2025 11:55:01 GMT"}}])
    [failure] = read("users", clock=clock).failures
    assert "clock is 301 seconds ahead" in failure.message


@pytest.mark.parametrize(
    "date",
    ["Sun, 15 Jun 2025 11:55:00 GMT", "Mon, 16 Jun 2025 12:00:00 GMT", "soon", "Sat, 31 Dec 2016 23:59:60 GMT"],
    ids=["five minutes ahead", "a day behind", "unreadable", "leap second"],
)
def test_a_clock_that_loses_nothing_is_accepted(api: Mocker, date: str) -> None:
    api.get(USERS, json=PAGE, headers={"Date": date})
    assert read("users").ids == ["user_1"]


def test_a_response_that_takes_minutes_does_not_mean_that_the_clock_is_ahead(api: Mocker, clock: Clock) -> None:
    def respond_slowly(*_: Any) -> Row:
        clock.sleep(360)
        return PAGE

    api.get(USERS, json=respond_slowly, headers={"Date": "Sun, 15 Jun 2025 12:00:01 GMT"})
    assert read("users", clock=clock).ids == ["user_1"]
