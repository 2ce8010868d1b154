"""What systemd is told about an instance: when it is ready, how it is doing, that it lives, that it stops."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, MutableMapping
from time import monotonic

from fogverse.meter import Reading
from fogverse.notify import Notifier, notifier, watchdog_s
from fogverse.stopping import Stopping

log = logging.getLogger(__name__)

#: Seconds between two status lines: what changes faster is for reports, and costs a device's systemd its time.
STATUS_S = 5.0
#: Seconds beyond the topic timeout that joining may take before systemd takes the start for failed.
JOIN_S = 30.0
#: Least time between two signs of life that can be kept, three beats of the reports.
SHORTEST_S = 3.0


class Lifecycle:
    """Passes on to systemd what the loop says about itself; does nothing where there is none (``NOTIFY_SOCKET``).

    The loop leaves a time stamp (``seen``); the thread of the reports, which beats once a second, sends the watchdog's
    ``WATCHDOG=1`` as long as that stamp is not older than the loop may be silent (``allow``). A thread, because a loop
    that calls the callable itself is silent as long as the callable works, and must not be killed for that; and a
    stopped process or a callable that never lets go of Python's lock silences the thread as well.

    Args:
        told: the service manager, or None.
        watchdog_s: seconds within which it wants a sign of life, or None.
        stopping: tells when the drain has begun, which has a guard of its own.
        changed: called when the membership has changed.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        told: Notifier | None,
        watchdog_s: float | None,
        stopping: Stopping,
        changed: Callable[[], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._told = told
        self._every_s = None if watchdog_s is None else watchdog_s / 3
        self._stopping = stopping
        self._changed = changed
        self._clock = clock
        self._silent_s = 0.0
        self._seen = clock()
        self._pinged = self._reported = float("-inf")
        self._finished = self._done = self._failed = 0
        self._fetching = True
        self._since = clock()
        self._owned = 0
        self._member = self._leaving = False
        # Readiness is told by the loop, "stopping" by whichever thread sees it first.
        self._lock = threading.Lock()
        if told is not None and watchdog_s is not None and watchdog_s < SHORTEST_S:
            log.warning("WatchdogSec=%g is too short to be kept: %g s are needed", watchdog_s, SHORTEST_S)

    @classmethod
    def of_process(
        cls, environ: MutableMapping[str, str], stopping: Stopping, changed: Callable[[], None]
    ) -> Lifecycle:
        """For the service manager that started this process; its variables are taken out of the environment."""
        told, within_s = notifier(environ), watchdog_s(environ, os.getpid())
        return cls(told, within_s if told is not None else None, stopping, changed)

    def joining(self, group: str, within_s: float) -> None:
        """The code is imported; the group is asked for membership, for at most ``within_s`` seconds."""
        extended = int((within_s + JOIN_S) * 1e6)
        self._send(f"EXTEND_TIMEOUT_USEC={extended}", f"STATUS=joining group {group}")

    def waits(self, why: str) -> None:
        """Something has to happen elsewhere before the group is joined; said again, it may take for ever."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(JOIN_S * 1e6)}", f"STATUS={why}")

    def allow(self, silent_s: float) -> None:
        """The loop may be silent for so long without being taken for dead."""
        self._silent_s = silent_s

    def seen(self) -> None:
        """The loop goes round."""
        self._seen = self._clock()

    def owns(self, partitions: int) -> None:
        """The group has said what this member owns, perhaps nothing: it is one, and that is what ready means."""
        self._owned = partitions
        self._reported = float("-inf")
        if not self._member:
            self._member = True
            self._send("READY=1", f"STATUS=member, owns {_partitions(partitions)}")
        self._changed()

    def fetching(self, first: bool) -> None:
        """Whether owned partitions have not been fetched from yet: until then nothing is known of what waits there."""
        if first != self._fetching:
            self._fetching = first
            self._reported = float("-inf")

    def stops(self) -> None:
        """The drain begins. From any thread, any number of times."""
        with self._lock:
            if self._leaving:
                return
            self._leaving = True
        self._send(
            "STOPPING=1", f"STATUS=draining ({self._stopping.reason}), at most {self._stopping.remaining_s:.0f} s"
        )

    def beat(self, reading: Reading) -> None:
        """Once a second, with what the report says: send what is due."""
        if self._told is None:
            return
        now = self._clock()
        self._finished += reading.consumed
        if not self._done and reading.consumed:
            self._reported = float("-inf")  # an upgrade waits for the first
        self._done += reading.consumed
        self._failed += reading.failed
        if self._stopping.requested:
            self.stops()
        elif self._member and now - self._reported >= STATUS_S:
            rate = self._finished / max(now - self._since, 1e-3)
            self._finished, self._since, self._reported = 0, now, now
            stuck = f"; stuck: {', '.join(reading.stuck)}" if reading.stuck else ""
            fetching = ", fetching" if self._owned and self._fetching else ""
            self._send(
                f"STATUS=owns {_partitions(self._owned)}, {rate:.1f} messages/s, {reading.in_flight} in flight, "
                f"{self._done} done, {self._failed} failed{fetching}{stuck}"
            )
        # A beat early rather than one late: beats come once a second, and not to the millisecond.
        if self._every_s is not None and now - self._pinged >= self._every_s - 1 and self._alive(now):
            self._pinged = now
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """The process has nothing more to tell."""
        if self._told is not None:
            self._told.close()

    def _alive(self, now: float) -> bool:
        return self._stopping.requested or now - self._seen <= self._silent_s

    def _send(self, *assignments: str) -> None:
        if self._told is not None:
            self._told.send(*assignments)


def _partitions(number: int) -> str:
    return f"{number} partition" if number == 1 else f"{number} partitions" if number else "no partition"
