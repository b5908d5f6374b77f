"""Faults on request: wrong responses, broken connections and missing responses."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

FaultKind = Literal["none", "status", "rate_limit", "reset", "close_mid_body", "truncate", "hang", "slow", "stall"]


@dataclass
class Fault:
    """A rule that makes requests fail.

    `path` is a regular expression that the path after `/api/v1` must begin with. The rule strikes with `probability`
    (0 to 1), at most `times` times (None: without limit), and not for the first `after` requests that match. `when`
    gets the query parameters and returns whether the rule may strike.

    The kinds are:

    - `status`: a response with `status`, `body` (dict or list: JSON, str: HTML, None: empty) and `headers`.
    - `rate_limit`: a 429 in the form that the settings choose; its wait is `seconds`.
    - `reset`: the server resets the connection and sends no response.
    - `close_mid_body`: the server announces the whole body, sends half of it and closes the connection.
    - `truncate`: half of the JSON, with the matching content-length.
    - `hang`: the server sends nothing for `seconds`, then closes the connection.
    - `slow`: the right response after `seconds`.
    - `stall`: the response to a request for a later page has no rows and refers to the same page again.
    """

    kind: FaultKind
    path: str = "/"
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    status: int = 500
    body: Any = field(default_factory=lambda: {"error": "Internal Server Error"})
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 1.0
    when: Callable[[dict[str, str]], bool] | None = None
    struck: int = 0


NO_FAULT = Fault("none")


class FaultPlan:
    """The rules in force; the first rule that strikes is used."""

    def __init__(self, seed: int = 1) -> None:
        """Start without rules; `seed` decides when the rules with a probability strike."""
        self.rules: list[Fault] = []
        self._random = Random(seed)

    def add(self, *rules: Fault) -> None:
        self.rules += rules

    def next(self, path: str, query: dict[str, str]) -> Fault:
        """Return the rule that strikes this request, or `NO_FAULT`."""
        for rule in self.rules:
            if self._strikes(rule, path, query):
                rule.struck += 1
                return rule
        return NO_FAULT

    def _strikes(self, rule: Fault, path: str, query: dict[str, str]) -> bool:
        if rule.times is not None and rule.struck >= rule.times:
            return False
        if re.match(rule.path, path) is None:
            return False
        if rule.when is not None and not rule.when(query):
            return False
        if rule.after > 0:
            rule.after -= 1
            return False
        return self._random.random() < rule.probability
