"""Decide for each response whether it is used, retried or an error, and say what to do."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from airbyte_cdk import FailureType
from airbyte_cdk.sources.declarative.requesters.error_handlers import (
    DefaultErrorHandler,
    HttpResponseFilter,
)
from airbyte_cdk.sources.streams.http.error_handlers import ErrorResolution, ResponseAction

from source_close.api.errors import (
    LOGGER,
    CloseApiError,
    UnusableResponseError,
    describe,
)
from source_close.api.repeated_pages import RepeatedPages
from source_close.api.responses import SUCCESS_CODES, response_json
from source_close.api.sync import ANY_REQUEST, Sync
from source_close.dates import MAX_CLOCK_LEAD, parse_moment

_Outcome = requests.Response | Exception

_REPEATS_ITSELF = (
    "{endpoint}: the list repeats the same page of {rows} records and says that more follow."
)
_IS_READ_AGAIN = "Stream %s: %s %s. The window is read again, but only once."
_LEAST_RETRY_SECONDS = 20  # for an endpoint, also if all requests have failed for long
_CLOCK_IS_AHEAD = (
    "this machine's clock is {seconds:.0f} seconds ahead of Close's, which shows {date}. The next "
    "sync would skip what Close reports in between. Set the clock, and sync again."
)
# Only with these can a refusal be the ``expected_error``: Close has understood the request.
_EXPECTED_STATUSES = {400, 404, 410, 413, 414, 422}


@dataclass
class CloseErrorHandler(DefaultErrorHandler):
    """Applies the manifest's error table, quotes Close in each message, and checks responses.

    ``DefaultErrorHandler`` accepts half a JSON document in a 200, and with it each window would
    retry an endpoint that is down. Its filters by text parse each response again, which takes a
    sixth of the time of a full read.

    Attributes:
        name: the stream's name.
        expected_error: the refusals that the retriever handles itself.
        max_retry_seconds: bounds how long a request is retried.
    """

    name: str = ""
    expected_error: HttpResponseFilter | None = None
    max_retry_seconds: float = float("inf")

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._sync = Sync.of(self.config)
        self._pages = RepeatedPages()
        self._retry_seconds = min(self._sync.retry_seconds, self.max_retry_seconds)
        # The CDK's limit, which counts even while other requests to the endpoint succeed.
        self.max_time = int(self._retry_seconds) + 60

    def interpret_response(self, response_or_exception: Any) -> ErrorResolution:
        """Return SUCCESS or RETRY, or the action of ``expected_error``.

        The CDK's FAIL would log the response, maybe with the key, and its RATE_LIMITED prints past
        the message queue.

        Raises:
            CloseApiError: if a retry would not help, or ``retry_seconds`` have passed.
        """
        endpoint = self._sync.current_request.endpoint
        outcome: _Outcome = response_or_exception  # the CDK passes no None
        if isinstance(outcome, Exception):
            self._sync.limiter.record_response(endpoint, None)
            return self._retry_or_give_up(endpoint, outcome)
        # A success is not asked for a wait, as the strategy would parse its body again.
        wait = 0.0 if outcome.ok else self._requested_wait(outcome)
        self._sync.limiter.record_response(endpoint, outcome, wait)
        self._check_clock(outcome.headers.get("date", ""))
        try:
            resolution = self._resolution_if_usable(endpoint, outcome)
        except UnusableResponseError as error:
            return self._retry_or_give_up(endpoint, error, self._requested_wait(outcome))
        if resolution is None:
            return self._retry_or_give_up(endpoint, outcome, wait)
        self._sync.failing_since.pop((self.name, endpoint), None)
        self._sync.failing_since.pop(ANY_REQUEST, None)
        return resolution

    # The seconds that Close asks to wait, 0 if it does not: the manifest's first strategy,
    # WaitTimeFromResponse.
    def _requested_wait(self, response: requests.Response) -> float:
        if not self.backoff_strategies:
            return 0.0
        return self.backoff_strategies[0].backoff_time(response, attempt_count=1) or 0.0

    # A sync reads up to its own time. The next one looks back at least five minutes, so a clock may
    # be that far ahead; one that is behind loses nothing. A response may take minutes, so the
    # moment of the request counts.
    def _check_clock(self, date: str) -> None:
        try:
            # The clock may have been set back since the start, up to which the sync reads.
            moment = max(self._sync.current_request.sent_at, parse_moment(self._sync["end"]))
            lead = moment - parsedate_to_datetime(date)
        except (OverflowError, TypeError, ValueError):  # no date, or one without a time zone
            return
        if lead > MAX_CLOCK_LEAD:
            text = _CLOCK_IS_AHEAD.format(seconds=lead.total_seconds(), date=date)
            raise CloseApiError(self.name, text, FailureType.config_error)

    # The resolution of a response that the retriever can use, None if it can't. It raises if the
    # response is not what was requested, or if the list repeats itself without end.
    def _resolution_if_usable(
        self, endpoint: str, response: requests.Response
    ) -> ErrorResolution | None:
        body = response_json(response)
        if response.status_code not in SUCCESS_CODES:
            return self._resolution_if_expected(endpoint, response)
        if self._pages.is_endless(response, body):
            text = _REPEATS_ITSELF.format(endpoint=endpoint, rows=len(body["data"]))
            meaning = self._look_up(requests.codes.ok).error_message
            raise CloseApiError(self.name, f"{text} {meaning}")
        return ErrorResolution(ResponseAction.SUCCESS)

    # What ``expected_error`` says about a refusal, None if it is another one. A window is read
    # again only once.
    def _resolution_if_expected(
        self, endpoint: str, response: requests.Response
    ) -> ErrorResolution | None:
        if self.expected_error is None or _status_of(response) not in _EXPECTED_STATUSES:
            return None
        resolution = self.expected_error.matches(response)
        if resolution and resolution.response_action == ResponseAction.RESET_PAGINATION:
            if self._pages.first_request == self._pages.first_request_made_again:
                return None
            self._pages.first_request_made_again = self._pages.first_request
            LOGGER.info(_IS_READ_AGAIN, self.name, endpoint, describe(response))
        return resolution

    # The row of the manifest's table for a status; one above 599 counts as 500:
    # https://www.rfc-editor.org/rfc/rfc9110#section-15.
    def _look_up(self, status: int) -> ErrorResolution:
        is_listed = any(status in (row.http_codes or ()) for row in self.response_filters or ())
        response = requests.Response()  # by which the CDK looks a row up
        response.status_code = status if is_listed else min(status // 100 * 100, 500)
        return super().interpret_response(response)

    def _retry_or_give_up(
        self, endpoint: str, outcome: _Outcome, wait: float = 0.0
    ) -> ErrorResolution:
        status = _status_of(outcome)
        resolution = self._look_up(status)
        is_refused = resolution.response_action == ResponseAction.FAIL
        # The CDK ignores the failure type of a row with another action than FAIL.
        failure_type = resolution.failure_type if is_refused else FailureType.transient_error
        longer_wait = f" It asks to wait {wait:.0f} s." if wait > self._retry_seconds else ""
        text = f"{endpoint} {describe(outcome)}.{longer_wait} {resolution.error_message}"
        error = CloseApiError(self.name, text, failure_type, status)
        is_outage = not is_refused and status != requests.codes.too_many_requests
        seconds = self._seconds_of_failure(endpoint, is_outage=is_outage)
        if not is_refused and max(wait, seconds) <= self._retry_seconds:
            return ErrorResolution(ResponseAction.RETRY, failure_type, error.message)
        is_key_refused = status == requests.codes.unauthorized
        requests_to_end = ANY_REQUEST if is_key_refused else (self.name, endpoint)
        self._sync.given_up[requests_to_end] = error
        raise error

    # For how long an endpoint has failed. In an outage the time since any request has succeeded
    # counts, as each endpoint would otherwise be retried as long as the first one.
    def _seconds_of_failure(self, endpoint: str, *, is_outage: bool) -> float:
        now = time.monotonic()
        seconds = now - self._sync.failing_since.setdefault((self.name, endpoint), now)
        if not is_outage:
            return seconds
        outage_seconds = now - self._sync.failing_since.setdefault(ANY_REQUEST, now)
        return max(seconds, outage_seconds) if seconds >= _LEAST_RETRY_SECONDS else seconds


# The status by which an outcome is looked up in the table: 0 without a response.
def _status_of(outcome: _Outcome) -> int:
    if isinstance(outcome, requests.Response):
        # Close's own has a JSON object. A proxy's does not prove that a record is gone.
        is_by_a_proxy = outcome.status_code in {404, 410} and not outcome.content.startswith(b"{")
        return requests.codes.method_not_allowed if is_by_a_proxy else outcome.status_code
    if isinstance(outcome, UnusableResponseError):
        return outcome.status
    # ``requests`` raises an error for the 407 of a proxy for https, with the status in its text.
    is_login_missing = "failed: 407 " in str(outcome)
    return requests.codes.proxy_authentication_required if is_login_missing else 0
