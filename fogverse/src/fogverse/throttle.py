"""Keeping a condition that lasts from filling the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

#: Seconds between two lines about the same lasting condition.
QUIET_S = 10.0


class Throttle:
    """Says whether it is time to log something again.

    Args:
        quiet_s: seconds between two lines with the same key.
        clock: monotonic seconds.
    """

    def __init__(self, quiet_s: float = QUIET_S, clock: Callable[[], float] = monotonic) -> None:
        self._quiet_s = quiet_s
        self._clock = clock
        self._next: dict[str, float] = {}

    def allows(self, key: str) -> bool:
        """True once per ``quiet_s`` for each key. Keys must be few (they are kept)."""
        now = self._clock()
        if now < self._next.get(key, float("-inf")):
            return False
        self._next[key] = now + self._quiet_s
        return True


class QuietFilter(logging.Filter):
    """Lets librdkafka's own log lines through once per ``QUIET_S`` and kind: it repeats itself per broker.

    Lines about failed connections are left out: the clients' error callbacks say the same in fewer words.
    """

    def __init__(self, throttle: Throttle | None = None) -> None:
        super().__init__()
        self._throttle = throttle or Throttle()

    def filter(self, record: logging.LogRecord) -> bool:
        """True for a record to keep."""
        kind = record.getMessage().partition(" ")[0]
        return kind != "FAIL" and self._throttle.allows(kind)
