"""DS2: as many instances as the arrival rate divided by what one achieves while it works.

Source: V. Kalavri et al., "Three steps is all you need: fast, accurate, automatic scaling decisions for distributed
streaming dataflows", OSDI 2018, equation 7: ceil(target rate / (true processing rate of the operator / its
instances)), true rate = records / useful time. Its controller (strymon-system/ds2, ``controller/config/ds2.toml``)
suggests a policy interval of 10 s, an activation time of 1 interval and a warm-up of 2 intervals after a change, and
defaults to no over-provisioning (scaling factor 0).
"""

from __future__ import annotations

import math

from orchestrator.simulate.rivals.seen import Seen

INTERVAL_S = 10
WARM_UP_INTERVALS = 2


class Ds2:
    """One operator behind one source."""

    def __init__(self) -> None:
        """No interval has passed."""
        self._seconds: list[tuple[float, float, float, int]] = []
        self._ignored = 0

    def decide(self, seen: Seen) -> int | None:
        """Every interval."""
        self._seconds.append((seen.arrived, seen.served, seen.busy_s, seen.ready))
        if len(self._seconds) < INTERVAL_S:
            return None
        arrived, served, busy, _ = (sum(column) for column in zip(*self._seconds, strict=True))
        self._seconds = []
        if self._ignored or seen.ready < seen.replicas:
            self._ignored = max(0, self._ignored - 1)
            return None
        if busy == 0 or arrived == 0:
            return None
        wanted = seen.within(math.ceil(arrived / INTERVAL_S / (served / busy) - 1e-9))
        if wanted != seen.replicas:
            self._ignored = WARM_UP_INTERVALS
        return wanted
