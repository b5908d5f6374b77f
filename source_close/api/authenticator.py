"""Send the API key: https://developer.close.com/api/overview/api-key-authentication.md."""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from airbyte_cdk import BasicHttpAuthenticator

from source_close.api.error_handler import REFUSED_REDIRECT, CloseApiError
from source_close.api.sync import KEY_REFUSED, LOGGER, Sync

_LONG_WAIT_SECONDS, _LOG_EVERY_SECONDS, _LOOK_EVERY_SECONDS = 0.5, 30.0, 1.0


@dataclass
class PacedAuthenticator(BasicHttpAuthenticator):
    """Basic authentication that delays each request until the rate limit allows it.

    The CDK calls it before each attempt to send a request. ``RateLimiter`` says why ``HTTPAPIBudget`` is not enough.
    ``name`` is the stream's name. A request waits ``max_wait_seconds`` at most.
    """

    name: str = ""
    max_wait_seconds: float = 300.0

    def __call__(self, request: requests.PreparedRequest) -> Any:
        """Wait, then add the header. Raise ``CloseApiError`` if the request was given up or would wait too long."""
        what = f"{request.method} {urlsplit(request.url or '').path}"
        sync, began, logged = Sync.of(self.config), time.monotonic(), float("-inf")
        while True:
            if error := sync.given_up.get(KEY_REFUSED) or sync.given_up.get((self.name, what)):
                raise CloseApiError(self.name, error.text, error.failure_type, error.status)
            wait, now = sync.limiter.reserve(what), time.monotonic()
            if wait <= 0:
                sync.sending.request = what
                request.register_hook("response", _stay_on_the_host)  # type: ignore[no-untyped-call] # types-requests
                return super().__call__(request)
            if now + wait > began + self.max_wait_seconds:
                problem = f"{what} has waited {now - began:.0f} s for its rate limit and would wait {wait:.0f} s more."
                advice = "the same rate limit: pause it, lower num_workers, or sync at another time."
                raise CloseApiError(self.name, f"{problem} Another program probably uses {advice}")
            if wait >= _LONG_WAIT_SECONDS and now - logged >= _LOG_EVERY_SECONDS:
                logged = now
                LOGGER.info("Stream %s waits %.1f s for the rate limit of %s.", self.name, wait, what)
            time.sleep(min(wait, _LOOK_EVERY_SECONDS))


def _stay_on_the_host(response: requests.Response, **_: Any) -> None:
    """Stop ``requests`` from following redirects to another host or scheme. ``HttpRequester`` has no option for it."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if urlsplit(target)[:2] != urlsplit(response.url)[:2]:
            response.headers[REFUSED_REDIRECT] = target
            del response.headers["location"]
