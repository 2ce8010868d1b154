"""Counting what an instance does, between one report and the next."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

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
    """Counters that any thread may feed and one thread reads.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = self._marked = clock()
        self._calls = 0
        self._busy_s = 0.0
        self._consumed = self._emitted = self._failed = self._in_flight = 0
        self._retries = self._dead_letters = 0
        self._stuck: tuple[str, ...] = ()
        self._were_stuck: set[str] = set()
        self._lags: list[float] = []
        # The latest of an interval; a deque takes and gives whole items without the lock.
        self._queue_ms: deque[float] = deque(maxlen=SAMPLES)
        self._process_ms: deque[float] = deque(maxlen=SAMPLES)
        self._choice = random.Random(0)  # noqa: S311 -- picks samples, guards nothing

    def message_begun(self) -> None:
        """A fetched message was given a worker."""
        with self._lock:
            self._in_flight += 1

    def call_began(self) -> None:
        """The callable was entered."""
        with self._lock:
            self._mark()
            self._calls += 1

    def call_ended(self) -> None:
        """The callable returned or raised."""
        with self._lock:
            self._mark()
            self._calls -= 1

    def message_finished(self, emitted: int, lag_ms: float | None) -> None:
        """A message has left: processed, its ``emitted`` outputs acknowledged, ``lag_ms`` after its timestamp."""
        with self._lock:
            self._in_flight -= 1
            self._consumed += 1
            self._emitted += emitted
            if lag_ms is None:
                return
            if len(self._lags) < SAMPLES:
                self._lags.append(lag_ms)
            elif (place := int(self._choice.random() * self._consumed)) < SAMPLES:
                self._lags[place] = lag_ms

    def message_failed(self) -> None:
        """The callable failed on a message."""
        with self._lock:
            self._in_flight -= 1
            self._failed += 1

    def message_retried(self) -> None:
        """The callable failed on a message and will be called again."""
        with self._lock:
            self._retries += 1

    def message_buried(self) -> None:
        """A message on which the callable failed for good is in the dead-letter topic."""
        with self._lock:
            self._in_flight -= 1
            self._failed += 1
            self._dead_letters += 1

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
        with self._lock:
            self._in_flight -= 1

    def read(self) -> Reading:
        """The interval since the last reading; starts the next."""
        with self._lock:
            self._mark()
            reading = Reading(
                self._marked - self._since,
                self._consumed,
                self._emitted,
                self._failed,
                self._busy_s,
                self._in_flight,
                _percentile(self._lags, 95),
                self._retries,
                self._dead_letters,
                tuple(sorted({*self._stuck, *self._were_stuck})[:STUCK_NAMED]),
                _percentile(_emptied(self._queue_ms), 95),
                _percentile(process_ms := _emptied(self._process_ms), 50),
                _percentile(process_ms, 95),
            )
            self._retries = self._dead_letters = 0
            self._were_stuck.clear()
            self._since = self._marked
            self._busy_s = 0.0
            self._consumed = self._emitted = self._failed = 0
            self._lags = []
        return reading

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
