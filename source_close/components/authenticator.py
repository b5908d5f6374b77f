"""Sends the API key: https://developer.close.com/api/overview/api-key-authentication.md."""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from airbyte_cdk import BasicHttpAuthenticator

from source_close.components.error_handler import REFUSED_REDIRECT, CloseApiError
from source_close.sync import KEY_REFUSED, LOGGER, Sync

_LONG_WAIT_SECONDS, _LOG_EVERY_SECONDS, _LOOK_EVERY_SECONDS = 0.5, 30.0, 1.0


@dataclass
class PacedAuthenticator(BasicHttpAuthenticator):
    """Basic authentication that holds each request back until the key's rate limit allows it.

    The CDK asks it before each attempt to send; its own ``HTTPAPIBudget`` lacks what ``RateLimiter`` names. ``name`` is
    the stream's; a request may wait ``max_wait_seconds`` for its turn.
    """

    name: str = ""
    max_wait_seconds: float = 300.0

    def __call__(self, request: requests.PreparedRequest) -> Any:
        """Wait, and add the header; raises ``CloseApiError`` where the request is not worth sending."""
        what = f"{request.method} {urlsplit(request.url or '').path}"
        sync, began, logged = Sync.of(self.config), time.monotonic(), float("-inf")
        while True:
            if error := sync.ended.get(KEY_REFUSED) or sync.ended.get((self.name, what)):
                raise CloseApiError(self.name, error.text, error.failure_type)
            wait, now = sync.limiter.reserve(what), time.monotonic()
            if wait <= 0:
                sync.sending.request = what
                request.register_hook("response", _stay_on_the_host)  # type: ignore[no-untyped-call] # of types-requests
                return super().__call__(request)
            if now + wait > began + self.max_wait_seconds:
                waits = f"{what} is at its rate limit for {wait:.0f} s more, after a wait of {now - began:.0f} s."
                advice = "the organization's rate limit: pause it, lower num_workers, or sync at another time."
                raise CloseApiError(self.name, f"{waits} Something else uses up {advice}")
            if wait >= _LONG_WAIT_SECONDS and now - logged >= _LOG_EVERY_SECONDS:
                logged = now
                LOGGER.info("Stream %s waits %.1f s: %s is at its rate limit.", self.name, wait, what)
            time.sleep(min(wait, _LOOK_EVERY_SECONDS))


def _stay_on_the_host(response: requests.Response, **_: Any) -> None:
    """Keep requests from following a redirect to another host or to http; ``HttpRequester`` has no option for that."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if urlsplit(target)[:2] != urlsplit(response.url)[:2]:
            response.headers[REFUSED_REDIRECT] = target
            del response.headers["location"]
