"""Sends requests to Close for all streams of a sync: paced, retried, bounded in time."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate
from typing import Any

import orjson
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.streams.http.error_handlers import ErrorHandler, ErrorResolution, ResponseAction
from airbyte_cdk.sources.types import StreamSlice
from requests.adapters import HTTPAdapter

from source_close.errors import UNAUTHORIZED, CloseApiError, describe_answer, describe_request
from source_close.rate_limiter import RateLimiter

LOGGER = logging.getLogger("airbyte.source-close")

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
# One request is tried for so long at the most; with the read time limit on top it stays below ten minutes.
RETRY_SECONDS = 300.0
RATE_LIMIT_SECONDS = 540.0
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 60.0
_LOG_EVERY_SECONDS = 30.0
_NO_ANSWER = (
    "Close could not be reached, or broke off. Check the network, proxy and firewall between here and the host; "
    "status.close.com tells of outages. The next sync goes on from the last saved state."
)


class UnreadableAnswerError(requests.RequestException):
    """A 200 whose body is cut short or no JSON."""


class Transport:
    """One HTTP session, one rate limiter and one limit of simultaneous requests for all streams.

    The built-in ``HttpClient`` keeps these per stream: its back-off sleeps without a word however long, it forgets a
    429 that another worker met, and it takes a 200 with half a body for an answer.

    Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        max_in_flight: int,
        user_agent: str,
        retry_seconds: float = RETRY_SECONDS,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Open a session.

        Args:
            max_in_flight: how many requests may run at once.
            user_agent: sent with every request.
            retry_seconds: how long a request that fails is tried again.
            now: seconds on a clock that never goes back.
            sleep: waits for so many seconds.
        """
        self._retry_seconds = retry_seconds
        self._now = now
        self._sleep = sleep
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._limiter = RateLimiter(now)
        self._refused_key: CloseApiError | None = None
        self._clock_lead = timedelta()
        self._knows_clock = False
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": user_agent, "Accept": "application/json"})
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=max_in_flight, pool_maxsize=max_in_flight))

    @property
    def clock_lead(self) -> timedelta:
        """How far this machine's clock is ahead of Close's, by the first answer's ``Date``; at least 0."""
        return self._clock_lead

    def fetch(
        self,
        requester: HttpRequester,
        stream: str,
        stream_slice: StreamSlice | None = None,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        path: str = "",
    ) -> Any:
        """Send a request until it is answered and return the JSON of the answer.

        ``requester`` holds url, method, authenticator, parameters and the error table, which says what answers are
        retried and what the others mean. ``params`` come on top of its parameters, ``path`` is appended to its url.

        Raises:
            CloseApiError: the answer is one that a retry doesn't cure, or the time for retries is used up.
        """
        error_handler = requester.error_handler
        assert error_handler is not None  # noqa: S101 - the manifest gives every requester the error table
        context: dict[str, Any] = {"stream_state": {}, "stream_slice": stream_slice, "next_page_token": None}
        request = requests.Request(
            method=requester.get_method().value,
            url=requester.get_url(**context) + path,
            params={**requester.get_request_params(**context), **(params or {})},
            headers=dict(requester.get_request_headers(**context)),
            json=json,
            auth=requester.get_authenticator(),
        )
        return self._fetch(self._session.prepare_request(request), error_handler, stream)

    def _fetch(self, prepared: requests.PreparedRequest, error_handler: ErrorHandler, stream: str) -> Any:
        group = describe_request(prepared)
        began, attempt = self._now(), 0
        while True:
            attempt += 1
            answer, told = self._send(prepared, group, stream)
            if not isinstance(answer, requests.Response | requests.RequestException):
                return answer
            resolution = error_handler.interpret_response(answer)
            waited = self._now() - began
            if resolution.response_action == ResponseAction.RATE_LIMITED:
                if waited + told > RATE_LIMIT_SECONDS:
                    raise self._error(prepared, answer, resolution, stream, f"It asked to wait for {told:.0f} s more.")
                continue  # the limiter holds every request to this group back
            if resolution.response_action != ResponseAction.RETRY:
                raise self._error(prepared, answer, resolution, stream)
            if waited > self._retry_seconds:
                raise self._error(
                    prepared, answer, resolution, stream, f"Tried {attempt} times within {waited:.0f} seconds."
                )
            backoff = min(_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), _LONGEST_BACKOFF_SECONDS)
            self._pause(backoff * random.uniform(0.5, 1.5), f"{group} {describe_answer(answer)}", stream)  # noqa: S311 - jitter

    def _send(
        self, prepared: requests.PreparedRequest, group: str, stream: str
    ) -> tuple[Any | requests.Response | requests.RequestException, float]:
        """The parsed answer, or what stands in its place: a response that is no success, or an exception."""
        self._wait_for_turn(group, stream)
        response: requests.Response | None = None
        told = 0.0
        try:
            with self._slots:
                if self._refused_key:
                    raise self._refused_key
                response = self._session.send(prepared, timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS))
        except requests.RequestException as error:
            return error, 0.0
        finally:
            told = self._limiter.answered(group, response)
        if not self._knows_clock:
            self._compare_clocks(response)
        if response.status_code != requests.codes.ok:
            return response, told
        try:
            return orjson.loads(response.content), told
        except orjson.JSONDecodeError as error:
            return UnreadableAnswerError(
                f"the answer is no complete JSON ({len(response.content)} bytes: {error})"
            ), told

    def _compare_clocks(self, response: requests.Response) -> None:
        sent_at = parsedate(response.headers.get("date", ""))
        if sent_at is not None:
            moment = datetime(*sent_at[:6], tzinfo=timezone.utc)
            self._clock_lead = max(datetime.now(timezone.utc) - moment, timedelta())
            self._knows_clock = True

    def _wait_for_turn(self, group: str, stream: str) -> None:
        while (wait := self._limiter.reserve(group)) > 0:
            self._pause(wait, f"{group} is at its rate limit", stream)

    def _pause(self, seconds: float, reason: str, stream: str) -> None:
        """Wait, and say so where it takes long. Ends early when the key has been refused."""
        until = self._now() + seconds
        if seconds >= _FIRST_BACKOFF_SECONDS:
            LOGGER.info("Stream %s waits %.1f s: %s", stream, seconds, reason)
        while (left := until - self._now()) > 0 and not self._refused_key:
            self._sleep(min(left, _LOG_EVERY_SECONDS))
            if until - self._now() > 1:
                LOGGER.info("Stream %s still waits, %.0f s more: %s", stream, until - self._now(), reason)

    def _error(
        self,
        prepared: requests.PreparedRequest,
        answer: requests.Response | requests.RequestException,
        resolution: ErrorResolution,
        stream: str,
        tries: str = "",
    ) -> CloseApiError:
        status = answer.status_code if isinstance(answer, requests.Response) else None
        meaning = _NO_ANSWER if status is None else resolution.error_message
        happened = f"Stream {stream}: {describe_request(prepared)} {describe_answer(answer)}."
        error = CloseApiError(
            message=" ".join(part for part in (happened, tries, meaning) if part),
            failure_type=resolution.failure_type or FailureType.system_error,
            status=status,
            text=answer.text if isinstance(answer, requests.Response) else "",
            stream=stream,
        )
        if status == UNAUTHORIZED:
            self._refused_key = error
        return error
