"""Second tries: few enough that an origin that is down hardly notices them."""

from __future__ import annotations

import random

import httpx

from imgproxy.origins.failures import Dropped, Nameless, is_settled

_RATE = 0.1
"""Tries earned by each request. More, and retries are what keeps an overloaded origin down."""
_MOST = 10.0
_STATUSES = (502, 503, 504)
_LEAST_LEFT_S = 1.0
"""With less time than this, the second try would only be cut short."""


class Retries:
    """A budget of second tries for all origins together: one for every ten requests, ten saved up at most."""

    def __init__(self) -> None:
        self._budget = 0.0

    def earn(self) -> None:
        """A request is made for the first time."""
        self._budget = min(_MOST, self._budget + _RATE)

    def spend(self, remaining: float) -> bool:
        """Whether a second try may be made with ``remaining`` seconds left; it is paid for then."""
        if self._budget < 1 or remaining < _LEAST_LEFT_S:
            return False
        self._budget -= 1
        return True


def is_worth_it(outcome: httpx.Response | httpx.TransportError) -> bool:
    """Whether the same request may do better a moment later: nothing of a body was taken, and nobody asked to wait."""
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in _STATUSES and "retry-after" not in outcome.headers
    if isinstance(outcome, Nameless) or is_settled(outcome):
        return False
    return isinstance(outcome, (httpx.ConnectError, Dropped))


def jitter() -> float:
    """Seconds to wait before a second try, so that those who failed together do not come back together."""
    return random.uniform(0.05, 0.15)  # noqa: S311 - no secret
