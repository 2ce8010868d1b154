"""The Flink Kubernetes operator's autoscaler, its formula with its defaults.

Source, read in July 2026's version: apache/flink-kubernetes-operator, ``flink-autoscaler``: ``AutoScalerOptions``
(metrics.window 15 min, stabilization.interval 5 min, utilization.target 0.7, target.utilization.boundary 0.3,
catch-up.duration 30 min, restart.time 5 min, scale-down.interval 1 h, scale-down.max-factor 0.6,
backlog-processing.lag-threshold 5 min), ``AutoScalerUtils.getTargetProcessingCapacity``,
``ScalingMetricEvaluator.computeProcessingRateThresholds``, ``JobVertexScaler``, ``DelayedScaleDown`` and
``ParallelismAligner.firstAlignedInRegion`` (mode BALANCED); the operator's ``reconcile.interval`` of 60 s.

Left out in the rival's favour: a real rescale restarts the whole job; here only partitions that move stand still. Left
out because busy time is exact here: the switch to the observed processing rate.
"""

from __future__ import annotations

import math
from collections import deque

from orchestrator.simulate.rivals.seen import Seen

RECONCILE_S = 60
WINDOW_S, STABILIZATION_S = 900, 300
UTILIZATION, BOUNDARY = 0.7, 0.3
CATCH_UP_S, RESTART_S = 1800.0, 300.0
DOWN_INTERVAL_S, DOWN_MAX_FACTOR = 3600, 0.6
BACKLOG_S = 300.0


class Flink:
    """One source vertex; a sample a minute, a decision when the window is full."""

    def __init__(self) -> None:
        """A job that has just started."""
        self._stable_at = STABILIZATION_S
        self._second: list[tuple[float, float, float]] = []
        # a minute's arrival and output per second, and the busiest subtask's share of it
        self._samples: deque[tuple[int, float, float, float]] = deque()
        self._down_since: int | None = None
        self._down: deque[tuple[int, int, bool]] = deque()

    def decide(self, seen: Seen) -> int | None:
        """Every minute."""
        self._second.append((seen.arrived, seen.served, max((busy for _, busy in seen.work), default=0.0)))
        if seen.at % RECONCILE_S:
            return None
        means = [sum(column) / len(self._second) for column in zip(*self._second, strict=True)]
        self._second = []
        if seen.at < self._stable_at:
            return None
        self._samples.append((seen.at, means[0], means[1], means[2]))
        while self._samples[0][0] <= seen.at - WINDOW_S:
            self._samples.popleft()
        if seen.at < self._stable_at + WINDOW_S:
            return None
        wanted = self._wanted(seen)
        if wanted is not None and wanted != seen.replicas:
            self._stable_at = seen.at + STABILIZATION_S  # a rescale starts the metrics anew
            self._samples.clear()
            self._down_since = None
            self._down.clear()
        return wanted

    def _wanted(self, seen: Seen) -> int | None:
        arrival, served, load = (sum(s[n] for s in self._samples) / len(self._samples) for n in (1, 2, 3))
        if load == 0 or served == 0:
            return None
        capacity = served / load
        catch_up = seen.lag / CATCH_UP_S
        backlog = seen.lag / served > BACKLOG_S
        target = arrival / UTILIZATION + catch_up + arrival * RESTART_S / CATCH_UP_S
        up_below = arrival / (1.0 if backlog else UTILIZATION + BOUNDARY) + catch_up
        low = 0.0 if backlog else UTILIZATION - BOUNDARY
        down_above = arrival / low + catch_up + arrival * RESTART_S / CATCH_UP_S if low else math.inf
        factor = max(target / capacity, 1 - DOWN_MAX_FACTOR)
        count = seen.within(math.ceil(factor * seen.replicas - 1e-9))
        if count == seen.replicas:
            self._clear()
            return None
        count = _aligned(count, seen.replicas, len(seen.lags), seen.most)
        outside = capacity < up_below or capacity > down_above
        if count > seen.replicas:
            self._clear()
            return count if outside else None
        return self._later(seen.at, count, outside=outside) if count < seen.replicas else None

    def _later(self, now: int, count: int, *, outside: bool) -> int | None:
        self._down_since = now if self._down_since is None else self._down_since
        while self._down and self._down[-1][1] <= count:
            self._down.pop()
        self._down.append((now, count, outside))
        if now - DOWN_INTERVAL_S < self._down_since:
            return None
        while self._down[0][0] < now - DOWN_INTERVAL_S:
            self._down.popleft()
        _, highest, worth_it = self._down[0]
        return highest if worth_it else None

    def _clear(self) -> None:
        self._down_since = None
        self._down.clear()


def _aligned(target: int, current: int, partitions: int, most: int) -> int:
    end = min(most, partitions) if target > current else min(current, most, partitions)
    for count in range(target, end + 1):
        if partitions % count == 0 or partitions // count < partitions // target:
            return count
    return target
