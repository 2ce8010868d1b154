"""A fluid queue before equal instances on equal partitions, second by second, with the policy in the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from orchestrator.core import policy, reading
from orchestrator.core.decision import Decision
from orchestrator.core.efforts import Efforts
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Memory
from orchestrator.core.partition import Partition
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.reading import View
from orchestrator.core.service import Service
from orchestrator.core.signals import ARRIVAL, COMMITTED, LAG, REPORTED
from orchestrator.core.window import Signal, Window

START = 1_000_000


@dataclass
class Fluid:
    """Instances that each manage ``rate`` messages/s, ``bottleneck`` messages/s in all; a start takes ``startup_s``."""

    count: int = 1
    rate: float = 100.0
    bottleneck: float = float("inf")
    startup_s: int = 15
    reports: bool = True
    service: Service = field(
        default_factory=lambda: Service(
            name="s", source_topic="in", group_id="g", artifact="a", entrypoint="a:b", hosts="h", max_instances=10
        )
    )
    memory: Memory = field(default_factory=Memory)
    second: int = START
    lag: float = 0.0
    coming: tuple[int, int] | None = None
    window: Window = field(default_factory=lambda: Window(300))
    efforts: Efforts = field(default_factory=lambda: Efforts(["s"], 20))

    def run(self, seconds: int, arrival: Callable[[int], float]) -> list[Decision]:
        """Let seconds pass, the arrival given by their number; returns every decision."""
        return [self._decide() for n in range(seconds) if self._pass(arrival(n)) and n % 5 == 4]

    def _pass(self, arrived: float) -> bool:
        if self.coming is not None and self.second >= self.coming[0]:
            self.count, self.coming = self.coming[1], None
            self.memory = replace(self.memory, last_seen_new_at=float(self.second))
        able = min(self.count * self.rate, self.bottleneck)
        done = min(self.lag + arrived, able)
        self.lag += arrived - done
        figures = [(ARRIVAL, "in", arrived), (LAG, "s", self.lag), (REPORTED if self.reports else COMMITTED, "s", done)]
        for kind, of, amount in figures:
            self.window.add(Signal(kind, of), self.second, amount)
        each, busy, names = done / max(1, self.count), done / max(1.0, able), range(self.count if self.reports else 0)
        self.efforts.add_all(("s", f"s@d{n}.1", self.second, self.second + 1, each, busy) for n in names)
        self.second += 1
        return True

    def _decide(self) -> Decision:
        many = max(1, self.count)
        offsets = tuple(Partition(n, 10**9, 10**9 - int(self.lag / many)) for n in range(many))
        instances = (Instance("s", f"d{n}", 1) for n in range(self.count))
        fleet = ServiceFleet(tuple(Observed(i, 0.5, True, (n,)) for n, i in enumerate(instances)))
        rule = self.service.policy
        assert isinstance(rule, CapacitySettings)
        memory = replace(self.memory, busy="an instance is being started" if self.coming else None)
        view = View(self.service, rule, int(self.lag), many, offsets)
        seen = reading.read(self.window, self.efforts, self.second, [view])["s"]
        decision, self.memory = policy.decide(self.service, seen, fleet, memory, rule, float(self.second))
        if decision.direction == "up":
            self.coming = (self.second + self.startup_s, decision.desired or 0)
            self.memory = replace(self.memory, last_start_at=float(self.second))
        elif decision.direction == "down":
            self.count = decision.desired or 0
            self.memory = replace(self.memory, last_stop_at=float(self.second))
        return decision
