"""One request: the error table, retries and their limits, what messages say, and what they never say."""

from __future__ import annotations

import base64
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import requests_mock
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester

from source_close.errors import CloseApiError, vendor_text
from source_close.transport import Transport
from unit_tests.rate_limited_server import Clock, response
from unit_tests.streams import API, KEY, source

URL = f"{API}/task/"
ENCODED_KEY = base64.b64encode(f"{KEY}:".encode()).decode()
PAGE = {"data": [{"id": "task_1"}], "has_more": False}
ASKED = "GET /api/v1/task/"
NO_ANSWER = "Close could not be reached, or broke off."

FAIL_STATUSES = {
    400: (FailureType.system_error, "Close did not understand the request."),
    401: (FailureType.config_error, "Close does not accept the API key"),
    402: (FailureType.config_error, "The organization's Close plan does not include this."),
    403: (FailureType.config_error, "has no permission to read this."),
    407: (FailureType.config_error, "A proxy between here and Close wants a user name and a password"),
    **dict.fromkeys(
        (404, 405, 406, 409, 410, 411, 413, 414, 415, 417, 421, 422, 426, 431, 451),
        (FailureType.system_error, "Close does not know this address."),
    ),
}
RETRY_STATUSES = [
    *(408, 425, 500, 501, 502, 503, 504, 505, 507, 508, 509, 511),
    *(520, 521, 522, 523, 524, 525, 526, 527, 529, 530),
]


@pytest.fixture(scope="module")
def requester() -> HttpRequester:
    (built,) = source()._builder().build_selected({"tasks"}, capture_changes=False)
    return built.retriever.requester


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Transport:
    """A transport on a clock of its own, whose waits are not jittered."""
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    return Transport(max_in_flight=20, user_agent="test", now=clock, sleep=clock.sleep)


@pytest.fixture
def logged_at(clock: Clock) -> Iterator[list[float]]:
    """When something was logged."""
    moments: list[float] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            moments.append(clock.now)

    logger, handler = logging.getLogger("airbyte.source-close"), Noting()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield moments
    logger.removeHandler(handler)
    logger.setLevel(level)


def fetch(transport: Transport, requester: HttpRequester, stream: str = "tasks", **more: Any) -> Any:
    return transport.fetch(transport.endpoint(requester, stream), {"_skip": 0}, is_list=True, **more)


def failure(transport: Transport, requester: HttpRequester, stream: str = "tasks") -> CloseApiError:
    with pytest.raises(CloseApiError) as error:
        fetch(transport, requester, stream)
    return error.value


def test_the_cases_below_are_every_row_of_the_error_table() -> None:
    table = source().resolved_manifest["definitions"]["error_table"]["response_filters"]
    by_action: dict[str, list[int]] = {}
    for row in table:
        by_action.setdefault(row["action"], []).extend(row["http_codes"])
        assert row["error_message"]
        assert row["failure_type"]
    assert sorted(by_action.pop("FAIL")) == sorted(FAIL_STATUSES)
    assert sorted(by_action.pop("RETRY")) == sorted(RETRY_STATUSES)
    assert by_action == {"RATE_LIMITED": [429]}


def test_a_request_carries_the_key_and_the_manifests_parameters(
    transport: Transport, requester: HttpRequester, requests_mock: requests_mock.Mocker
) -> None:
    requests_mock.get(URL, json=PAGE)
    assert fetch(transport, requester) == PAGE
    request = requests_mock.request_history[0]
    assert request.url == f"{URL}?_type=all&_skip=0"
    assert request.headers["Authorization"] == f"Basic {ENCODED_KEY}"
    assert request.headers["User-Agent"] == "test"
    assert KEY not in request.url
    timeout: Any = request.timeout  # of two parts, whatever its annotation says
    assert timeout == (10.0, 45.0)


@pytest.mark.parametrize(("status", "kind", "meaning"), [(s, *row) for s, row in FAIL_STATUSES.items()])
def test_answers_that_no_retry_cures_fail_at_once(
    transport: Transport,
    requester: HttpRequester,
    requests_mock: requests_mock.Mocker,
    status: int,
    kind: FailureType,
    meaning: str,
) -> None:
    requests_mock.get(URL, status_code=status, json={"error": "Close's own words"})
    error = failure(transport, requester)
    assert requests_mock.call_count == 1
    assert (error.failure_type, error.status) == (kind, status)
    assert str(error).startswith(f"Stream tasks: {ASKED} answered {status}: «Close's own words». ")
    assert meaning in str(error)


@pytest.mark.parametrize("status", RETRY_STATUSES)
def test_trouble_of_the_server_is_retried_with_growing_waits_and_then_fails(
    transport: Transport, requester: HttpRequester, requests_mock: requests_mock.Mocker, clock: Clock, status: int
) -> None:
    sent: list[float] = []
    requests_mock.get(URL, status_code=status, text="<html><h1>Bad gateway</h1></html>")
    requests_mock.add_matcher(lambda request: sent.append(clock.now))
    error = failure(transport, requester)
    waits = [round(later - earlier, 3) for earlier, later in itertools.pairwise(sent)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 40, 40, 40, 40, 40, 40]
    assert requests_mock.call_count == 14
    assert clock.now - 1000 == 303.5
    assert (error.failure_type, error.status) == (FailureType.transient_error, status)
    assert str(error).startswith(f"Stream tasks: {ASKED} answered {status}: «<html><h1>Bad gateway</h1></html>». ")
    assert "Tried 14 times within 304 seconds. Close has trouble answering." in str(error)


def test_waits_are_jittered_by_half(
    requester: HttpRequester, requests_mock: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    asked: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    monkeypatch.setattr("random.uniform", longest)
    requests_mock.get(URL, [{"status_code": 503}, {"json": PAGE}])
    fetch(Transport(max_in_flight=1, user_agent="test", now=clock, sleep=clock.sleep), requester)
    assert asked == [(0.5, 1.5)]
    assert clock.now - 1000 == 0.75


@pytest.mark.parametrize(
    "answer",
    [
        {"status_code": 500, "json": {"error": "Server error"}},
        {"status_code": 502, "text": "<html>"},
        {"status_code": 503, "text": ""},
        {"exc": requests.ConnectionError("Connection refused")},
        {"exc": requests.ConnectTimeout("timed out")},
        {"exc": requests.ReadTimeout("Read timed out. (read timeout=45)")},
        {"exc": requests.exceptions.ChunkedEncodingError("Connection broken: IncompleteRead")},
        {"exc": requests.exceptions.SSLError("EOF occurred in violation of protocol")},
        {"text": '{"data": [{"id": "task_1"}, {"id": "ta'},
        {"text": "<html>Please log in</html>"},
        {"text": ""},
        {"text": "null"},
        {"text": "[]"},
        {"text": "{}"},
        {"text": '{"data": null, "has_more": false}'},
        {"text": '{"data": [{"no": "id"}], "has_more": false}'},
        {"text": '{"data": ["task_1"], "has_more": false}'},
        {"text": '{"error": "Something went wrong"}'},
    ],
    ids=lambda answer: " ".join(str(part) for part in answer.values())[:60] or "empty",
)
def test_what_is_no_complete_answer_is_asked_for_again(
    transport: Transport, requester: HttpRequester, requests_mock: requests_mock.Mocker, answer: dict[str, Any]
) -> None:
    requests_mock.get(URL, [answer, answer, {"json": PAGE}])
    assert fetch(transport, requester) == PAGE
    assert requests_mock.call_count == 3


@pytest.mark.parametrize(
    ("answer", "happened"),
    [
        ({"exc": requests.ConnectionError("Connection refused")}, "failed: Connection refused."),
        ({"exc": requests.ReadTimeout("Read timed out. (read timeout=45)")}, "failed: Read timed out."),
        ({"text": '{"data": ['}, "failed: the answer is no complete JSON (10 bytes"),
        ({"text": "{}"}, "failed: the answer holds no records under data (only: nothing)."),
    ],
    ids=["refused", "silence", "cut short", "not a list"],
)
def test_an_endpoint_that_stays_dead_fails_the_stream_within_ten_minutes(
    transport: Transport,
    requester: HttpRequester,
    requests_mock: requests_mock.Mocker,
    clock: Clock,
    logged_at: list[float],
    answer: dict[str, Any],
    happened: str,
) -> None:
    requests_mock.get(URL, **answer)
    error = failure(transport, requester)
    assert requests_mock.call_count == 14
    assert (error.failure_type, error.status) == (FailureType.transient_error, None)
    assert str(error).startswith(f"Stream tasks: {ASKED} {happened}")
    assert NO_ANSWER in str(error)
    assert clock.now - 1000 < 600
    pauses = [later - earlier for earlier, later in zip([1000, *logged_at], [*logged_at, clock.now], strict=True)]
    assert max(pauses) <= 60


def test_a_silent_server_does_not_hold_a_sync_for_more_than_ten_minutes(
    transport: Transport, requester: HttpRequester, requests_mock: requests_mock.Mocker, clock: Clock
) -> None:
    def silence(request: Any, context: Any) -> str:
        clock.sleep(45)
        raise requests.ReadTimeout("Read timed out.")

    requests_mock.get(URL, text=silence)
    failure(transport, requester)
    assert clock.now - 1000 < 600


def test_after_a_refused_key_nothing_is_sent_any_more(
    transport: Transport, requester: HttpRequester, requests_mock: requests_mock.Mocker
) -> None:
    requests_mock.get(URL, status_code=401, json={"error": "Unauthorized"})
    failure(transport, requester)
    error = failure(transport, requester, "leads")
    assert requests_mock.call_count == 1
    assert error.failure_type == FailureType.config_error
    assert str(error).startswith(
        f"Stream leads: {ASKED} answered 401: «Unauthorized». Close does not accept the API key"
    )


def test_a_stream_that_was_given_up_waits_no_more_and_others_go_on(
    transport: Transport, requester: HttpRequester, requests_mock: requests_mock.Mocker
) -> None:
    requests_mock.get(URL, [*[{"status_code": 503}] * 14, {"json": PAGE}])
    failure(transport, requester)
    failure(transport, requester)
    assert requests_mock.call_count == 14
    assert fetch(transport, requester, "leads") == PAGE


def test_a_refusal_is_waited_out_as_told(
    transport: Transport, requester: HttpRequester, requests_mock: requests_mock.Mocker, clock: Clock
) -> None:
    requests_mock.get(URL, [{"status_code": 429, "headers": {"Retry-After": "7"}}, {"json": PAGE}])
    assert fetch(transport, requester) == PAGE
    assert requests_mock.call_count == 2
    assert clock.now - 1000 == pytest.approx(7)


def test_refusals_are_retried_for_as_long_as_the_api_asks_up_to_a_ceiling(
    transport: Transport,
    requester: HttpRequester,
    requests_mock: requests_mock.Mocker,
    clock: Clock,
    logged_at: list[float],
) -> None:
    requests_mock.get(URL, status_code=429, headers={"Retry-After": "50"}, json={"error": "Too many requests"})
    error = failure(transport, requester)
    assert requests_mock.call_count == 9
    assert clock.now - 1000 == pytest.approx(400)
    assert (error.failure_type, error.status) == (FailureType.transient_error, 429)
    assert str(error).startswith(
        f"Stream tasks: {ASKED} answered 429: «Too many requests». Waited 400 s; it asked to wait for 50 s more. "
        "Close has asked to wait for longer than a sync should."
    )
    pauses = [later - earlier for earlier, later in zip([1000, *logged_at], [*logged_at, clock.now], strict=True)]
    assert max(pauses) <= 60


def test_a_single_wait_beyond_the_ceiling_is_not_begun(
    transport: Transport, requester: HttpRequester, requests_mock: requests_mock.Mocker, clock: Clock
) -> None:
    requests_mock.get(URL, status_code=429, headers={"Retry-After": "3600"})
    error = failure(transport, requester)
    assert requests_mock.call_count == 1
    assert clock.now == 1000
    assert "Waited 0 s; it asked to wait for 3600 s more." in str(error)
    assert "is at its rate limit for 3600 s more" in str(failure(transport, requester, "leads"))
    assert requests_mock.call_count == 1


def test_a_long_wait_is_told_of_at_least_once_a_minute(
    transport: Transport,
    requester: HttpRequester,
    requests_mock: requests_mock.Mocker,
    clock: Clock,
    logged_at: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "airbyte.source-close")
    requests_mock.get(URL, [{"status_code": 429, "headers": {"Retry-After": "95"}}, {"json": PAGE}])
    fetch(transport, requester)
    assert [round(moment - 1000) for moment in logged_at] == [0, 30, 60, 90]
    assert caplog.messages[0] == f"Stream tasks waits 95.0 s: {ASKED} is at its rate limit"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "text"}', "text"),
        (b'{"error": {"message": "API call count exceeded", "rate_reset": 0.87}}', "API call count exceeded"),
        (b'{"errors": ["one", "two"]}', "one; two"),
        (
            b'{"errors": [], "field-errors": {"_limit": "Input should be less than or equal to 200"}}',
            "_limit: Input should be less than or equal to 200",
        ),
        (b'{"errors": ["one"], "field-errors": {"a": ["x", "y"]}}', "one; a: x; a: y"),
        (b'"just a text"', "just a text"),
        (b"<html>\n  <h1>Bad   gateway</h1></html>", "<html> <h1>Bad gateway</h1></html>"),
        ('{"error": "Ungültig – 無効"}'.encode(), "Ungültig – 無効"),
        (b"", ""),
        (b"{}", ""),
        (b"null", ""),
        (b"x" * 1000, "x" * 300),
    ],
    ids=["error text", "error object", "errors", "field-errors", "both", "a text", "HTML", "accents", "nothing",
         "an empty object", "null", "a long text"],
)  # fmt: skip
def test_closes_own_text_is_found_in_every_form_of_body(body: bytes, text: str) -> None:
    assert vendor_text(response(400, body)) == text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
def test_a_server_that_repeats_the_key_does_not_bring_it_into_a_message(
    transport: Transport,
    requester: HttpRequester,
    requests_mock: requests_mock.Mocker,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    requests_mock.get(
        URL,
        status_code=status,
        text=f"Sorry, {KEY} (Authorization: Basic {ENCODED_KEY}, {ENCODED_KEY.rstrip('=')}) was no good",
        headers={"Retry-After": "500"} if status == 429 else {},
    )
    error = failure(transport, requester)
    everything = f"{error} {error!r} {error.text} {error.internal_message} {caplog.text} {error.as_airbyte_message()}"
    assert "was no good" in str(error)
    for secret in (KEY, ENCODED_KEY, ENCODED_KEY.rstrip("="), "Authorization: Basic a"):
        assert secret not in everything


def test_a_network_error_with_the_key_in_it_does_not_bring_it_into_a_message(
    transport: Transport,
    requester: HttpRequester,
    requests_mock: requests_mock.Mocker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    requests_mock.get(URL, exc=requests.ConnectionError(f"https://{KEY}:@api.close.com refused"))
    error = failure(transport, requester)
    assert KEY not in f"{error} {error!r} {caplog.text}"
    assert error.status is None
