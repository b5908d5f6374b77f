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

from source_close.connection import TimedAdapter
from source_close.endpoint import Endpoint
from source_close.errors import UNAUTHORIZED, CloseApiError, describe_answer, describe_request, without_key
from source_close.rate_limiter import TOO_MANY_REQUESTS, RateLimiter

LOGGER = logging.getLogger("airbyte.source-close")

CONNECT_TIMEOUT_SECONDS = 10.0
# Silence for so long ends an attempt; source_close.connection limits the whole answer.
READ_TIMEOUT_SECONDS = 45.0
# A request that fails is tried again for so long. With a last wait and a last attempt it stays below ten minutes.
RETRY_SECONDS = 300.0
# A request is held up for so long by whatever there is: rate limits, failures, other requests.
LONGEST_SECONDS = 420.0
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 40.0
_LOG_EVERY_SECONDS = 30.0
# Who waits looks this often whether there is still something to wait for.
_LOOK_EVERY_SECONDS = 1.0
_LONGEST_LIST_OF_FIELDS = 100
_NO_ANSWER = (
    "Close could not be reached, or broke off. Check the network, proxy and firewall between here and the host; "
    "status.close.com tells of outages. The next sync goes on from the last saved state."
)


class UnreadableAnswerError(requests.RequestException):
    """A success whose body is cut short, is no JSON, or is not what was asked for."""


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
        self._given_up: dict[str, CloseApiError] = {}
        self._environment: dict[str, Any] | None = None
        self._clock_lead = timedelta()
        self._knows_clock = False
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": user_agent, "Accept": "application/json"})
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, TimedAdapter(pool_connections=max_in_flight, pool_maxsize=max_in_flight))

    @property
    def clock_lead(self) -> timedelta:
        """How far this machine's clock is ahead of Close's, by the first answer's ``Date``; at least 0."""
        return self._clock_lead

    def endpoint(self, requester: HttpRequester, stream: str, stream_slice: StreamSlice | None = None) -> Endpoint:
        """What ``requester`` asks on behalf of ``stream``, for ``stream_slice`` if it makes a difference.

        ``requester`` holds url, method, authenticator, parameters and the error table, which says what answers are
        retried and what the others mean.
        """
        error_handler = requester.error_handler
        assert error_handler is not None  # noqa: S101 - the manifest gives every requester the error table
        context: dict[str, Any] = {"stream_state": {}, "stream_slice": stream_slice, "next_page_token": None}
        request = requests.Request(
            method=requester.get_method().value,
            url=requester.get_url(**context),
            headers=dict(requester.get_request_headers(**context)),
            auth=requester.get_authenticator(),
        )
        return Endpoint(
            stream, self._session.prepare_request(request), requester.get_request_params(**context), error_handler
        )

    def fetch(
        self,
        endpoint: Endpoint,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        path: str = "",
        *,
        is_list: bool = True,
        patience: float | None = None,
    ) -> Any:
        """Send a request until it is answered and return the JSON of the answer, an object.

        ``params`` come on top of the endpoint's, ``path`` is appended to its url.
        ``is_list``: the answer must hold a list of records under ``data``, else it counts as a broken one.
        ``patience``: seconds after which to give up, whatever the reason, if that is to be sooner than usual.

        Raises:
            CloseApiError: the answer is one that a retry doesn't cure, or the time for retries is used up.
        """
        prepared = endpoint.request(params, json, path)
        return self._fetch(prepared, endpoint.error_handler, endpoint.stream, is_list=is_list, patience=patience)

    def _fetch(
        self,
        prepared: requests.PreparedRequest,
        error_handler: ErrorHandler,
        stream: str,
        *,
        is_list: bool,
        patience: float | None,
    ) -> Any:
        longest = LONGEST_SECONDS if patience is None else patience
        group = describe_request(prepared)
        began, failing_since, attempt = self._now(), float("inf"), 0
        while True:
            attempt += 1
            self._wait_for_turn(group, stream, began, longest)
            sent = self._now()
            answer, told = self._send(prepared, group, stream, is_list=is_list)
            if isinstance(answer, dict):
                return answer
            resolution = error_handler.interpret_response(answer)
            waited = self._now() - began
            if resolution.response_action == ResponseAction.RATE_LIMITED:
                failing_since = float("inf")
                if waited + told > longest:
                    tries = f"Waited {waited:.0f} s; it asked to wait for {told:.0f} s more."
                    raise self._give_up(self._error(prepared, answer, resolution, stream, tries))
                continue  # the limiter holds every request to this group back
            if resolution.response_action != ResponseAction.RETRY:
                raise self._error(prepared, answer, resolution, stream)
            failing_since = min(failing_since, sent)
            if self._now() - failing_since > self._retry_seconds or waited > longest:
                tries = f"Tried {attempt} times within {waited:.0f} seconds."
                raise self._give_up(self._error(prepared, answer, resolution, stream, tries))
            backoff = min(_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), _LONGEST_BACKOFF_SECONDS)
            self._pause(backoff * random.uniform(0.5, 1.5), f"{group} {describe_answer(answer)}", stream)  # noqa: S311 - jitter

    def _send(
        self, prepared: requests.PreparedRequest, group: str, stream: str, *, is_list: bool
    ) -> tuple[dict[str, Any] | requests.Response | requests.RequestException, float]:
        """The parsed answer, or what stands in its place: a response that is no success, or an exception."""
        response: requests.Response | None = None
        body, told = b"", 0.0
        try:
            with self._slots:
                self._stop_if_pointless(stream)
                response = self._session.send(
                    prepared,
                    timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                    **self._environment_of(prepared),
                )
                # ``content`` receives it in pieces of 10 KB, which takes a third of the time of a request.
                body = b"".join(response.iter_content(None)) if _is_success(response) else response.content
        except OSError as error:  # a RequestException, or a bundle of certificates that isn't there
            failure = error if isinstance(error, requests.RequestException) else requests.RequestException(str(error))
            failure.request = prepared
            return failure, 0.0
        finally:
            told = self._limiter.answered(group, response)
        if not self._knows_clock:
            self._compare_clocks(response)
        if not _is_success(response):
            return _unless_cut_short(response), told
        try:
            return _parsed(body, prepared, is_list=is_list), told
        except UnreadableAnswerError as error:
            return error, told

    def _environment_of(self, prepared: requests.PreparedRequest) -> dict[str, Any]:
        """Proxies and certificates that the environment names; looked up once, since all requests go to one host."""
        if self._environment is None:
            url = prepared.url or ""
            self._environment = dict(
                self._session.merge_environment_settings(url, {}, stream=True, verify=None, cert=None)
            )
        return self._environment

    def _give_up(self, error: CloseApiError) -> CloseApiError:
        """Take note that no request of the stream is worth a wait any more."""
        return self._given_up.setdefault(error.stream, error)

    def _stop_if_pointless(self, stream: str) -> None:
        """Raise what has ended the stream, or the sync, in another thread."""
        if self._refused_key is not None:
            raise self._refused_key.for_stream(stream)
        if (error := self._given_up.get(stream)) is not None:
            raise error.for_stream(stream)

    def _compare_clocks(self, response: requests.Response) -> None:
        sent_at = parsedate(response.headers.get("date", ""))
        if sent_at is not None:
            moment = datetime(*sent_at[:6], tzinfo=timezone.utc)
            self._clock_lead = max(datetime.now(timezone.utc) - moment, timedelta())
            self._knows_clock = True

    def _wait_for_turn(self, group: str, stream: str, began: float, longest: float) -> None:
        while (wait := self._limiter.reserve(group)) > 0:
            if self._now() + wait > began + longest:
                raise self._give_up(
                    CloseApiError(
                        message=(
                            f"Stream {stream}: {group} is at its rate limit for {wait:.0f} s more, after a wait of "
                            f"{self._now() - began:.0f} s. Something else uses up the organization's "
                            "rate limit: pause it, lower num_workers, or sync at another time."
                        ),
                        failure_type=FailureType.transient_error,
                        status=TOO_MANY_REQUESTS,
                        stream=stream,
                    )
                )
            self._pause(wait, f"{group} is at its rate limit", stream)

    def _pause(self, seconds: float, reason: str, stream: str) -> None:
        """Wait, and say so where it takes long.

        Raises:
            CloseApiError: meanwhile the key was refused, or the stream has failed elsewhere.
        """
        until = self._now() + seconds
        if seconds >= _FIRST_BACKOFF_SECONDS:
            LOGGER.info("Stream %s waits %.1f s: %s", stream, seconds, reason)
        logged = self._now()
        while (left := until - self._now()) > 0:
            self._stop_if_pointless(stream)
            if self._now() - logged >= _LOG_EVERY_SECONDS:
                logged = self._now()
                LOGGER.info("Stream %s still waits, %.0f s more: %s", stream, left, reason)
            self._sleep(min(left, _LOOK_EVERY_SECONDS))

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
            failure_type=_failure_type(resolution),
            status=status,
            text=without_key(answer.text, prepared) if isinstance(answer, requests.Response) else "",
            stream=stream,
        )
        if status == UNAUTHORIZED:
            self._refused_key = error
        return error


def _failure_type(resolution: ErrorResolution) -> FailureType:
    """What is worth a retry passes by; the CDK takes the error table's word for it only where an answer is final."""
    if resolution.response_action in (ResponseAction.RETRY, ResponseAction.RATE_LIMITED):
        return FailureType.transient_error
    return resolution.failure_type or FailureType.system_error


def _unless_cut_short(response: requests.Response) -> requests.Response | UnreadableAnswerError:
    """``response``, unless it is a 400 with half a JSON: what it says decides how a read goes on."""
    if response.status_code == requests.codes.bad_request and response.content.startswith(b"{"):
        try:
            orjson.loads(response.content)
        except orjson.JSONDecodeError:
            return UnreadableAnswerError(f"a 400 whose text is no complete JSON ({len(response.content)} bytes)")
    return response


def _is_success(response: requests.Response) -> bool:
    return bool(requests.codes.ok <= response.status_code < requests.codes.multiple_choices)


def _parsed(body: bytes, prepared: requests.PreparedRequest, *, is_list: bool) -> dict[str, Any]:
    """The JSON object that answers ``prepared``.

    Raises:
        UnreadableAnswerError: there is none, or ``is_list`` and it holds no list of records under ``data``.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableAnswerError(f"the answer is no complete JSON ({len(body)} bytes: {error})") from None
    if not isinstance(answer, dict):
        raise UnreadableAnswerError(f"the answer is no JSON object ({type(answer).__name__})")
    rows = answer.get("data")
    if is_list and not (isinstance(rows, list) and all(isinstance(row, dict) and "id" in row for row in rows)):
        fields = without_key(", ".join(answer), prepared)[:_LONGEST_LIST_OF_FIELDS] or "nothing"
        raise UnreadableAnswerError(f"the answer holds no records under data (only: {fields})")
    return answer
