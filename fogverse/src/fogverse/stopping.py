"""Being asked to stop, and the deadline that goes with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

log = logging.getLogger(__name__)

#: Seconds the loop has after the deadline to say good-bye to the group before the guard acts.
GRACE_S = 1.0


class Stopping:
    """Whether and until when the run is to stop. Any thread and any signal may ask; only the first counts.

    Args:
        drain_timeout_s: seconds between being asked and having to be gone.
        clock: monotonic seconds.
    """

    def __init__(self, drain_timeout_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._drain_timeout_s = drain_timeout_s
        self._clock = clock
        self._deadline: float | None = None
        self._asked = threading.Event()
        self.reason = ""

    def request(self, reason: str) -> None:
        """Ask for the stop. Logs nothing and takes no lock twice: it may run in a signal's midst."""
        if self._deadline is None:
            self.reason = reason
            self._deadline = self._clock() + self._drain_timeout_s
            self._asked.set()

    @property
    def requested(self) -> bool:
        """Whether somebody has asked."""
        return self._deadline is not None

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, at least 0; the whole drain timeout as long as nobody has asked."""
        if self._deadline is None:
            return self._drain_timeout_s
        return max(0.0, self._deadline - self._clock())

    def wait(self, timeout_s: float | None = None) -> None:
        """Block until somebody asks, or for so many seconds."""
        self._asked.wait(timeout_s)


class DrainGuard:
    """Watches the drain from a thread of its own, since a callable that never returns blocks the loop.

    Args:
        stopping: what to watch.
        overrun: called once if the drain is not over ``GRACE_S`` after its deadline.
    """

    def __init__(self, stopping: Stopping, overrun: Callable[[], None]) -> None:
        self._stopping = stopping
        self._overrun = overrun
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fogverse-drain-guard", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """The drain is over; ends the thread. The stop must have been asked for."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        self._stopping.wait()
        allowed_s = self._stopping.remaining_s
        log.info("stopping (%s): no new messages, at most %.0f s to drain", self._stopping.reason, allowed_s)
        if not self._over.wait(allowed_s + GRACE_S):
            self._overrun()
