"""The seed's rule as it was written, its faults included.

Source: FogVerse's master (``InputOutputRatioWorker``, ``StatisticWorker``, ``TopicSpikeChecker``, ``AutoDeployer``)
with this project's documented defaults: an interval of 60 s, a window of 300 s, threshold 0.8, z-value 3, 60 s after a
start and 120 s after a new instance's first message. Faults kept:

- the window that an interval is compared with contains the interval itself;
- a standard deviation of zero raises, is caught, and nothing is deployed;
- an interval in which 0 or 1 message came in, or none went out, ends the worker for good;
- one more instance at a time, and none is ever stopped.
"""

from __future__ import annotations

import statistics
from collections import deque

from orchestrator.simulate.rivals.seen import Seen

REFRESH_S, WINDOW_S = 60, 300
THRESHOLD, Z_VALUE = 0.8, 3.0
DEPLOY_DELAY_S, HEARTBEAT_DELAY_S = 60, 120


class Seed:
    """One pair of topics."""

    def __init__(self) -> None:
        """A master that has just started, and that the first instances have just reported to."""
        self._counts: tuple[deque[float], deque[float]] = (deque(maxlen=WINDOW_S), deque(maxlen=WINDOW_S))
        self._interval = [0.0, 0.0]
        self._known = 0
        self._blocked_until = HEARTBEAT_DELAY_S
        self._ended = False

    def decide(self, seen: Seen) -> int | None:
        """Every interval."""
        for place, count in enumerate((seen.arrived, seen.served)):
            self._counts[place].append(count)
            self._interval[place] += count
        if seen.ready > self._known and self._known:
            self._blocked_until = seen.at + HEARTBEAT_DELAY_S
        self._known = seen.ready
        if seen.at % REFRESH_S or self._ended:
            return None
        (came, went), self._interval = self._interval, [0.0, 0.0]
        ratio = went / max(came, 1)
        if ratio == went:
            self._ended = True
            return None
        if ratio >= THRESHOLD or seen.at < self._blocked_until or seen.replicas >= seen.most:
            return None
        try:
            usual = all(
                (total / REFRESH_S - statistics.fmean(counts)) / statistics.pstdev(counts) < Z_VALUE
                for total, counts in zip((came, went), self._counts, strict=True)
            )
        except ZeroDivisionError:
            return None
        if not usual:
            return None
        self._blocked_until = seen.at + DEPLOY_DELAY_S
        return seen.replicas + 1
