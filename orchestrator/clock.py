"""Time, passed in: the system's, or one that a test or a simulation moves."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the loop needs of time."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait, at most ``seconds``, until ``stop`` is set; True when it is."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait, at most ``seconds``, until ``stop`` is set; True when it is."""
        return stop.wait(max(0.0, seconds))
