"""Faults on demand: wrong answers, cut connections and silence."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any, Literal

FaultKind = Literal[
    "status",
    "rate_limit",
    "reset",
    "close_mid_body",
    "truncate",
    "html",
    "empty",
    "hang",
    "slow",
    "edit",
    "stall",
]

HTML = b"<!DOCTYPE html><html><head><title>Oops</title></head><body><h1>Something went wrong</h1></body></html>"


@dataclass
class Fault:
    """A rule for requests that begin with what `path` (a regular expression, after `/api/v1`) matches.

    It strikes with `probability` (0 to 1), at most `times` times (None: no end), and not the first `after` requests
    that match. `when` may look at the parameters.

    kind: `status` answers `status` with `body` (dict or list: JSON, str: HTML, None: empty) and `headers`;
    `rate_limit` answers 429 as the settings say, with `seconds` as the wait; `reset` aborts the connection before
    an answer; `close_mid_body` announces the whole body, sends half and closes; `truncate` sends half of the JSON
    as if it were all; `html` and `empty` do so under 200; `hang` is silent for `seconds`, then closes; `slow` waits
    `seconds` and then answers rightly; `edit` answers what `edit` makes of the right answer's body, with `headers`
    besides its own; `stall` answers a request for a later page with none of its rows, and tells to ask for it again.
    """

    kind: FaultKind
    path: str = "/"
    method: str | None = None
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    status: int = 500
    body: Any = field(default_factory=lambda: {"error": "Internal Server Error"})
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 1.0
    edit: Callable[[bytes], bytes] = bytes
    when: Callable[[dict[str, str]], bool] | None = None
    struck: int = 0


class FaultPlan:
    """The rules in force. The first that strikes wins."""

    def __init__(self, seed: int = 1) -> None:
        """Take the seed of the rules with a probability."""
        self.rules: list[Fault] = []
        self._random = Random(seed)
        self._lock = Lock()

    def add(self, *rules: Fault) -> None:
        """Put rules in force, after those there are."""
        with self._lock:
            self.rules += rules

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self.rules.clear()

    def next(self, method: str, path: str, query: dict[str, str]) -> Fault | None:
        """The rule that strikes this request."""
        with self._lock:
            for rule in self.rules:
                if self._strikes(rule, method, path, query):
                    rule.struck += 1
                    return rule
            return None

    def _strikes(self, rule: Fault, method: str, path: str, query: dict[str, str]) -> bool:
        if rule.times is not None and rule.struck >= rule.times:
            return False
        if rule.method not in {None, method} or re.match(rule.path, path) is None:
            return False
        if rule.when is not None and not rule.when(query):
            return False
        if rule.after > 0:
            rule.after -= 1
            return False
        return self._random.random() < rule.probability
