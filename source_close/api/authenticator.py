"""Prepare each request: wait for the rate limit, and add the API key and two hooks.

https://developer.close.com/api/overview/api-key-authentication.md
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from airbyte_cdk import BasicHttpAuthenticator
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets

from source_close.api.errors import LOGGER, CloseApiError, UnusableResponseError
from source_close.api.responses import ONE_RECORD
from source_close.api.sync import ANY_REQUEST, Sync
from source_close.dates import utc_now

# The CDK evaluates headers of a manifest for each request, which takes 4 % of the time of a read.
_HEADERS = {"Accept": "application/json", "User-Agent": f"source-close/{version('source-close')}"}
_LONG_WAIT_SECONDS = 0.5
_LOG_EVERY_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 1.0  # whether another request has ended this wait or the stream
_PIECE_BYTES = 1 << 17
_WAITS = "Stream %s waits %.1f s for the rate limit of %s."
_WAITED_TOO_LONG = (
    "{endpoint} has waited {waited:.0f} s for its rate limit, or for responses to the requests "
    "before it, and would wait {wait:.0f} s more. Another program probably uses the same rate "
    "limit: pause it, lower num_workers, or sync at another time."
)


@dataclass
class PacedAuthenticator(BasicHttpAuthenticator):
    """Basic authentication that delays each request until the rate limit allows it.

    The CDK calls it before each attempt to send a request. ``HTTPAPIBudget``, the built-in, is not
    enough: ``RateLimiter`` says why. ``BasicHttpAuthenticator`` alone would also follow a redirect
    to another host. This class also sets what all requests have in common: general headers, and
    hooks, for which ``HttpRequester`` has no option. ``name`` is the stream's.
    """

    name: str = ""

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        # The CDK hides the key in all messages of a command, but not in those of a source that is
        # used without one, and not the header made of it, which may be shown without its padding.
        add_to_secrets(self.config["api_key"])
        add_to_secrets(self.token.removeprefix("Basic ").rstrip("="))

    def __call__(self, request: requests.PreparedRequest) -> Any:
        """Wait, then add the headers.

        Raises:
            CloseApiError: if the stream or the request was given up, or would wait too long.
        """
        sync = Sync.of(self.config)
        # Single leads have one rate limit, not one each.
        path = ONE_RECORD.sub("/lead/{id}/", urlsplit(request.url or "").path)
        endpoint = f"{request.method} {path}"
        self._wait(endpoint, sync)
        sync.current_request.endpoint = endpoint
        sync.current_request.sent_at = utc_now()
        request.headers.update(_HEADERS)
        # Not ``register_hook``, which would add them again at each attempt.
        request.hooks["response"] = [_refuse_other_page, _read_in_large_pieces]
        return super().__call__(request)

    def _wait(self, endpoint: str, sync: Sync) -> None:
        waited = 0.0
        logged = float("-inf")
        while True:
            error = (
                sync.unreadable_states.get(self.name)
                or sync.given_up.get((self.name, endpoint))
                or sync.given_up.get(ANY_REQUEST)
            )
            if error:
                raise CloseApiError(self.name, error.text, error.failure_type, error.status)
            wait = sync.limiter.reserve(endpoint)
            if wait <= 0:
                return
            # This request may wait for the response to another one, which may itself take
            # ``retry_seconds``.
            if wait > sync.retry_seconds or waited > 2 * sync.retry_seconds:
                text = _WAITED_TOO_LONG.format(endpoint=endpoint, waited=waited, wait=wait)
                raise CloseApiError(self.name, text)
            if wait >= _LONG_WAIT_SECONDS and waited - logged >= _LOG_EVERY_SECONDS:
                logged = waited
                LOGGER.info(_WAITS, self.name, wait, endpoint)
            nap = min(wait, _LOOK_EVERY_SECONDS)
            time.sleep(nap)
            # Time in which the process is paused, or the log can't be written, does not count.
            waited += nap


# Raises at each redirect but that of a list to the same host with the same filters. ``requests``
# would send a POST as a GET without a body. ``HttpRequester`` has no option for it.
def _refuse_other_page(response: requests.Response, **_: Any) -> None:
    if not response.is_redirect:
        return
    target = response.headers["location"]
    with suppress(ValueError):  # of an address that can't be parsed
        target = urljoin(response.url, target)
        old = urlsplit(response.url)
        new = urlsplit(target)
        is_same_host = (new.scheme, new.netloc) == (old.scheme, old.netloc)
        has_same_filters = parse_qs(new.query) == parse_qs(old.query)
        # Without a query, the target could be any page, such as one for a login.
        is_list = response.request.method == "GET" and bool(old.query)
        if is_same_host and has_same_filters and is_list:
            return
    text = f"the response ({response.status_code}) is a redirect to {target}"
    raise UnusableResponseError(text, requests.codes.multiple_choices)


# The body of a response, which is read in pieces of 128 KB, whatever size is asked for, and is
# otherwise ``raw``. ``requests`` asks for 10 KB at once. After each piece another thread takes
# over, which costs a tenth of the CPU time of a read.
class _Body:
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, _requested_size: int, **options: Any) -> Iterator[bytes]:
        yield from self._raw.stream(_PIECE_BYTES, **options)


def _read_in_large_pieces(response: requests.Response, **_: Any) -> None:
    response.raw = _Body(response.raw)
