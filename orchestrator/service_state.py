"""What the loop remembers of one service between ticks."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.broker.look import Look
from orchestrator.care import Care
from orchestrator.core.decision import Decision
from orchestrator.core.device import Device
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Memory
from orchestrator.core.need import STARTUPS_KEPT
from orchestrator.core.override import Override
from orchestrator.core.partition import Partition, follow
from orchestrator.core.policy import Rule
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.ratio import RatioRule
from orchestrator.core.reading import View
from orchestrator.core.service import Service
from orchestrator.settings import Settings


@dataclass(slots=True)
class ServiceState:
    """One service's memory, fleet and the action under way; only the loop's thread changes it.

    Attributes:
        service: whose.
        rule: the policy's settings for it.
        memory: cooldowns.
        fleet: what was observed last.
        offsets: the source topic's partitions, as they were last seen.
        known: instances seen in the last tick; None before the first look.
        next_at: when the next decision is due, seconds since the epoch.
        action: the thread that carries something out; None when nothing is under way.
        under_way: the instances that the action is starting or stopping right now.
        progress: how far that is, in words.
        joining: names of instances whose unit ran at the master's start and that have not joined their group yet.
        started: instances that this master has started.
        ever: instances that were ever seen.
        planned: instances that the last scale-out by capacity wanted: topics are grown evenly for so many; 0 for none.
        grown_refused: topics whose refused growth has been said already.
        override: an operator's order; None when there is none.
        row: kind of the last decision, and when the row of alike ones began that changed nothing.
        care: who should work, who ails, who runs in whose place.
    """

    service: Service
    rule: Rule
    memory: Memory = field(default_factory=Memory)
    fleet: ServiceFleet = field(default_factory=lambda: ServiceFleet(observed=None))
    offsets: Mapping[int, Partition] = field(default_factory=dict)
    known: frozenset[Instance] | None = None
    next_at: float = 0.0
    action: threading.Thread | None = None
    under_way: tuple[Instance, ...] = ()
    progress: str = ""
    joining: str = ""
    started: set[Instance] = field(default_factory=set)
    ever: frozenset[Instance] = frozenset()
    planned: int = 0
    grown_refused: set[str] = field(default_factory=set)
    override: Override | None = None
    row: tuple[str, float] | None = None
    care: Care = field(default_factory=Care)

    @property
    def learned(self) -> dict[str, float]:
        """Messages per second of one instance, by device class."""
        return {name: estimate.rate for name, estimate in self.memory.capacities.items()}

    @property
    def busy(self) -> str | None:
        """What is under way, in words; None when nothing is."""
        if self.action is None or not self.action.is_alive():
            return None
        if not self.under_way:
            return "a device is being chosen"
        return f"{', '.join(map(str, self.under_way))}: {self.progress}"

    @property
    def waits_for(self) -> str | None:
        """What may still join or come back, in words; None when there is nothing."""
        if self.joining:
            return f"{self.joining} ran at the master's start and has not joined {self.service.group_id} yet"
        return self.care.missing or None

    def row_of(self, decision: Decision) -> float | None:
        """When the row of alike decisions began to which this one belongs; None when it changes something."""
        if decision.direction != "none":
            self.row = None
            return None
        if self.row is None or self.row[0] != decision.kind:
            self.row = (decision.kind, decision.at)
        return self.row[1]

    def beat_after(self, now: float) -> float:
        """When the next decision is due: a beat after this one was, so that late ticks do not make the beat slower."""
        beat_s = self.rule.refresh_s
        return self.next_at + beat_s if now - self.next_at < beat_s else now + beat_s

    def remember(self, **changes: float | None) -> None:
        """Change the memory; only the loop's thread may."""
        self.memory = replace(self.memory, **changes)  # type: ignore[arg-type]  # field names are checked by replace

    def follow(self, look: Look) -> None:
        """Take in where the group stands on each partition of the source topic."""
        topic, group = self.service.source_topic, self.service.group_id
        positions = look.positions(group, topic)
        self.offsets = follow(self.offsets, look.ends[topic], positions, look.at) if positions else {}

    def view(self, look: Look | None, stuck: tuple[str, ...]) -> View:
        """What its policy is told beside the windows; nothing is known while there is no look at the cluster."""
        service = self.service
        return View(
            service=service,
            rule=self.rule,
            lag=None if look is None else look.lag(service.group_id, service.source_topic),
            partitions=None if look is None else look.partitions(service.source_topic),
            offsets=() if look is None else tuple(self.offsets.values()),
            stuck=stuck,
        )

    def usable(
        self,
        look: Look | None,
        devices: Mapping[str, Device],
        occupied: Mapping[str, int],
        barred: Collection[str],
    ) -> ServiceFleet:
        """The fleet with the devices that the service may use, and the slots that nobody holds on them."""
        if look is None:
            return ServiceFleet(observed=None)
        free = {
            name: 0 if name in barred else max(0, device.slots - occupied.get(name, 0))
            for name, device in devices.items()
        }
        return replace(self.fleet, devices=devices, free=free)

    def plan(self, decision: Decision) -> None:
        """Remember how many instances a change by capacity wants."""
        if decision.direction != "none" and isinstance(self.rule, CapacitySettings):
            self.planned = (decision.desired or 0) if decision.direction == "up" else 0

    def started_up(self, numbers: Mapping[str, object]) -> None:
        """Remember how long a new instance took from the decision to its first message, by its step ``proved``."""
        seconds = numbers.get("first-message")
        if not isinstance(seconds, int | float):
            return
        self.memory = replace(self.memory, startups=(*self.memory.startups, float(seconds))[-STARTUPS_KEPT:])


def spread_beats(states: Iterable[ServiceState], now: float) -> None:
    """Spread the first decisions of services with a short beat over it, so that they are not all due in one tick."""
    short = [state for state in states if isinstance(state.rule, CapacitySettings)]
    for number, state in enumerate(short):
        state.next_at = now + state.rule.refresh_s * number / len(short)


def rule_for(service: Service, settings: Settings) -> Rule:
    """The service's own policy settings, the master's where it has none."""
    policy = service.policy
    if isinstance(policy, CapacitySettings):
        return policy
    return RatioRule(
        threshold=policy.threshold or settings.input_output_ratio_threshold,
        z_value=policy.z_value or settings.z_value,
        refresh_s=policy.refresh_s or settings.input_output_refresh_rate,
        deploy_delay_s=settings.deploy_delay,
        heartbeat_delay_s=settings.heartbeat_deploy_delay,
    )
