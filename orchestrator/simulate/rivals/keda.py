"""KEDA's Kafka scaler with the Kubernetes HorizontalPodAutoscaler's defaults.

Sources, read in August 2026's versions: kedacore/keda ``pkg/scalers/kafka_scaler.go`` (lagThreshold 10; the total lag
is cut down to partitions * lagThreshold unless allowIdleConsumers), kubernetes ``replica_calculator.go``
``GetExternalPerPodMetricReplicas`` (no change while |lag / (threshold * replicas) - 1| <= 0.1, else
ceil(lag / threshold)) and ``pkg/apis/autoscaling/v2/defaults.go`` (every 15 s at most 4 pods or 100 % more,
whichever is greater; down to the highest recommendation of the last 300 s).

Left out in the rival's favour: pods are ready as soon as they are members, and a lost one is replaced as soon as
its group notices (Kubernetes takes minutes).
"""

from __future__ import annotations

import math
from collections import deque

from orchestrator.simulate.rivals.seen import Seen

SYNC_S = 15
TOLERANCE = 0.1
DOWN_WINDOW_S = 300
UP_PODS, UP_FACTOR = 4, 2
#: What KEDA uses when a trigger does not say; few services can want it: its unit is messages per instance.
LAG_THRESHOLD = 10.0


class Keda:
    """A ScaledObject with one Kafka trigger and nothing else set."""

    def __init__(self, lag_threshold: float = LAG_THRESHOLD) -> None:
        """Take ``lagThreshold``, messages per instance."""
        self._threshold = lag_threshold
        self._recommended: deque[tuple[int, int]] = deque()

    def decide(self, seen: Seen) -> int | None:
        """Every 15 s."""
        if seen.at % SYNC_S:
            return None
        lag = min(seen.lag, len(seen.lags) * self._threshold)
        ratio = lag / (self._threshold * max(1, seen.replicas))
        wanted = seen.replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(lag / self._threshold)
        self._recommended.append((seen.at, seen.within(wanted)))
        while self._recommended[0][0] <= seen.at - DOWN_WINDOW_S:
            self._recommended.popleft()
        if wanted > seen.replicas:
            return min(seen.within(wanted), max(seen.replicas + UP_PODS, seen.replicas * UP_FACTOR))
        return min(seen.replicas, max(count for _, count in self._recommended))
