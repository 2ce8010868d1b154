"""Counting what an instance does, between one report and the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from fogverse.sample import Sample

#: Lags kept exactly per interval; beyond it a fair sample is kept, so that memory stays bounded.
SAMPLES = 1024
#: Stuck messages named in a report.
STUCK_NAMED = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """What happened in one interval.

    Attributes:
        interval_s: length of the interval, seconds.
        consumed: messages processed whose outputs are all acknowledged.
        emitted: outputs acknowledged that belong to these messages.
        failed: messages on which the callable failed.
        busy_s: seconds spent in the callable, summed over workers; a call under way counts as far as it got.
        in_flight: messages begun and neither finished nor failed, at the end of the interval.
        lag_ms_p95: 95th percentile of the age of messages when they were finished; None when none was.
        retries: calls that failed and will be repeated.
        dead_letters: messages written to the dead-letter topic.
        stuck: places of messages that are being worked on for longer than allowed, at the end of the interval.
        queue_ms_p95: 95th percentile of the time between fetch and first call; None where nothing queues.
        process_ms_p50: median of the time in the callable; None when no call ended.
        process_ms_p95: its 95th percentile.
    """

    interval_s: float
    consumed: int
    emitted: int
    failed: int
    busy_s: float
    in_flight: int
    lag_ms_p95: float | None
    retries: int = 0
    dead_letters: int = 0
    stuck: tuple[str, ...] = ()
    queue_ms_p95: float | None = None
    process_ms_p50: float | None = None
    process_ms_p95: float | None = None


class Meter:
    """Counters that the loop's thread feeds and the reports' thread reads; calls may be in threads of their own.

    What the loop counts only grows and is written by it alone, so it needs no lock, which would cost as much as the
    rest of a message that is quickly done; a reading is the difference to the one before.

    Args:
        clock: monotonic seconds.

    Attributes:
        own: seconds that the loop itself has spent in calls that are over, and when the present one began (None:
            there is none). One value, so that a reading never sees half a change.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = self._marked = clock()
        self._calls = 0
        self._busy_s = 0.0
        self.own: tuple[float, float | None] = 0.0, None
        self._begun = self._consumed = self._emitted = self._failed = self._dropped = 0
        self._retries = self._dead_letters = 0
        self._read = (0.0, 0, 0, 0, 0, 0)
        self._stuck: tuple[str, ...] = ()
        self._were_stuck: set[str] = set()
        self._lags = Sample(SAMPLES)
        # The latest of an interval; a deque takes and gives whole items without the lock.
        self._queue_ms: deque[float] = deque(maxlen=SAMPLES)
        self._process_ms: deque[float] = deque(maxlen=SAMPLES)

    def message_begun(self) -> None:
        """A fetched message was given a worker."""
        self._begun += 1

    def call_began(self) -> None:
        """The callable was entered, in a thread beside the loop."""
        with self._lock:
            self._mark()
            self._calls += 1

    def call_ended(self) -> None:
        """It returned or raised."""
        with self._lock:
            self._mark()
            self._calls -= 1

    def messages_finished(self, count: int, emitted: int, lags_ms: Sequence[float]) -> None:
        """Messages have left: processed, their ``emitted`` outputs acknowledged.

        Args:
            count: how many.
            emitted: how many outputs they have in all.
            lags_ms: how long after its timestamp each of them left, of those that have one; below zero by a clock
                that is behind, which means "no lag that can be told".
        """
        self._consumed += count
        self._emitted += emitted
        self._lags.add(lags_ms)

    def message_failed(self) -> None:
        """The callable failed on a message."""
        self._failed += 1

    def message_retried(self) -> None:
        """The callable failed on a message and will be called again."""
        self._retries += 1

    def messages_buried(self, count: int) -> None:
        """Messages on which the callable failed for good are in the dead-letter topic."""
        self._failed += count
        self._dead_letters += count

    def calls_timed(self, process_s: Sequence[float]) -> None:
        """How long calls of the loop itself took."""
        self._process_ms.extend([seconds * 1000 for seconds in process_s])

    def call_timed(self, queue_ms: float | None, process_ms: float) -> None:
        """How long a message waited for its first call (None: not asked), and how long the call took."""
        if queue_ms is not None:
            self._queue_ms.append(queue_ms)
        self._process_ms.append(process_ms)

    def stuck(self, places: tuple[str, ...]) -> None:
        """The messages that are being worked on for too long just now."""
        self._stuck = places

    def was_stuck(self, place: str) -> None:
        """A message was, and its call has been ended: the next report still names it."""
        with self._lock:
            self._were_stuck.add(place)

    def message_dropped(self) -> None:
        """A message begun was given up: its partition went to another instance, or the run ends."""
        self._dropped += 1

    def read(self) -> Reading:
        """The interval since the last reading; starts the next."""
        lags, self._lags = self._lags, Sample(SAMPLES)
        left = self._consumed + self._failed + self._dropped  # read before what is begun, or more had left than began
        with self._lock:
            since = self._since
            self._mark()
            now = self._since = self._marked
            own_s, began_s = self.own
            if began_s is not None:
                own_s += max(0.0, now - began_s)
            totals = (
                self._busy_s + own_s, self._consumed, self._emitted, self._failed, self._retries, self._dead_letters
            )  # fmt: skip
            busy_s, consumed, emitted, failed, retries, dead_letters = (
                total - before for total, before in zip(totals, self._read, strict=True)
            )
            self._read = totals
            stuck = {*self._stuck, *self._were_stuck}
            self._were_stuck.clear()
        lag_ms = _percentile(list(lags.values), 95)
        process_ms = _emptied(self._process_ms)
        return Reading(
            now - since,
            int(consumed),
            int(emitted),
            int(failed),
            max(0.0, busy_s),
            self._begun - left,
            None if lag_ms is None else max(0.0, lag_ms),
            int(retries),
            int(dead_letters),
            tuple(sorted(stuck)[:STUCK_NAMED]),
            _percentile(_emptied(self._queue_ms), 95),
            _percentile(process_ms, 50),
            _percentile(process_ms, 95),
        )

    def _mark(self) -> None:
        """Add the time since the last change, once for each call under way."""
        now = self._clock()
        self._busy_s += self._calls * (now - self._marked)
        self._marked = now


def _percentile(values: list[float], percent: int) -> float | None:
    """The smallest value that at least ``percent`` % of all do not exceed."""
    return sorted(values)[-(-len(values) * percent // 100) - 1] if values else None


def _emptied(samples: deque[float]) -> list[float]:
    values = list(samples)
    samples.clear()
    return values
