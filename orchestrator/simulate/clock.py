"""Time that a simulation moves."""

from __future__ import annotations

import threading


class SimulatedClock:
    """A clock that stands still until it is moved; nothing ever waits for it."""

    def __init__(self, at: float) -> None:
        """Begin at ``at``, seconds since the epoch."""
        self.at = at

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Let ``seconds`` pass at once, unless ``stop`` is set; True when it is."""
        if not stop.is_set():
            self.at += max(0.0, seconds)
        return stop.is_set()
