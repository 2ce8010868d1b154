"""The shells that the live loop reads through, answered from the simulated plant instead of a broker and devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import Entry, Ledger
from orchestrator.broker.look import Look
from orchestrator.broker.observer import Observer
from orchestrator.core.fleet import Group, Member
from orchestrator.core.instance import Instance
from orchestrator.core.report import Report
from orchestrator.core.tally import Tally
from orchestrator.simulate.plant import Plant
from orchestrator.ssh.facts import UnitState
from orchestrator.ssh.probe import Probe

#: Seconds since the epoch at which every simulation begins: a full hour, so that times are easy to read.
EPOCH = 1_700_002_800


class SimulatedCluster(Cluster):
    """Offsets and members as the plant has them."""

    def __init__(self, plant: Plant) -> None:
        """Read ``plant``."""
        super().__init__({})
        self._plant = plant
        self._service = plant.scenario.service

    def look(self, at: float, topics: Iterable[str], groups: Iterable[str]) -> Look:  # noqa: ARG002 - there is one of each
        """Everything a tick needs."""
        topic, group, plant = self._service.source_topic, self._service.group_id, self._plant
        committed = {(topic, p): int(offset) for p, offset in enumerate(plant.committed)}
        return Look(
            at=at,
            ends={topic: {p: int(end) for p, end in enumerate(plant.ends)}},
            begins={topic: dict.fromkeys(range(plant.partitions), 0)},
            committed={group: committed},
            groups={group: self._group()},
            counts={topic: plant.partitions},
        )

    def partitions(self, topics: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Partition ids of the topics."""
        return {topic: tuple(range(self._plant.partitions)) for topic in topics}

    def arrivals(self, topic: str, times: Iterable[float]) -> list[int]:  # noqa: ARG002 - there is one topic
        """Before the beginning the traffic was as in the first seconds."""
        rate = self._plant.scenario.traffic.before
        earliest = EPOCH - 10 * self._plant.scenario.settings.window_max_second
        return [int(rate * max(0.0, moment - earliest)) for moment in times]

    def grow(self, topic: str, total: int) -> int:  # noqa: ARG002 - there is one topic
        """Add partitions."""
        self._plant.grow(total)
        return self._plant.partitions

    def _group(self) -> Group:
        topic = self._service.source_topic
        owned: dict[Instance, list[int]] = {}
        for partition, owner in self._plant.owners.items():
            owned.setdefault(owner, []).append(partition)
        members = tuple(
            Member(str(instance), (topic,), {topic: tuple(owned.get(instance, ()))})
            for instance in self._plant.members()
        )
        return Group(self._service.group_id, "Stable" if members else "Empty", members)


class SimulatedObserver(Observer):
    """Reports as the plant's instances would send them."""

    def __init__(self, plant: Plant) -> None:
        """Read ``plant``."""
        super().__init__({}, "observer", "observer", 0.0)
        self._plant = plant
        self._told: dict[Instance, tuple[int, float]] = {}

    def start(self) -> None:
        """Nothing is to be started."""

    def wait_caught_up(self, timeout_s: float) -> bool:  # noqa: ARG002 - there is no history
        """At once."""
        return True

    def close(self) -> None:
        """Nothing is to be stopped."""

    def take(self) -> Tally:
        """One report of each living member about the time since the last take."""
        tally, plant, service = Tally(), self._plant, self._plant.scenario.service
        for instance, running in plant.running.items():
            if running.dead or running.joined_at > plant.second:
                self._told.pop(instance, None)
                continue
            before, since = self._told.get(instance, (0, plant.second - 1.0))
            finished, seconds = int(running.finished), max(1.0, plant.second - since)
            self._told[instance] = (finished, float(plant.second))
            busy_s = min(seconds, (finished - before) / running.rate)
            # validated when it was parsed, had it been sent: building it again as it is costs a tenth
            report = Report.model_construct(
                v=1, service=service.name, instance=str(instance), host=instance.device,
                source_topic=service.source_topic, target_topic=service.target_topic, interval_s=seconds,
                consumed=finished - before, emitted=finished - before, failed=0,
                busy_s=busy_s * service.workers, workers=service.workers, in_flight=0,
            )  # fmt: skip
            tally.enter(report, float(EPOCH + plant.second))
        return tally


class SimulatedLedger(Ledger):
    """Keeps what is appended until it is taken."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__({}, "ledger")
        self.entries: list[Entry] = []

    def append(self, entry: Entry) -> None:
        """Keep one entry."""
        self.entries.append(entry)

    def flush(self, timeout_s: float = 0.0) -> int:  # noqa: ARG002 - nothing is sent
        """Nothing waits."""
        return 0

    def close(self, timeout_s: float = 5.0) -> None:
        """Nothing is to be closed."""


def probe(plant: Plant, names: Iterable[str]) -> Mapping[str, Probe]:
    """What SSH would find on the devices."""
    found = {}
    for name in names:
        if not plant.scenario.alive(name, plant.second):
            found[name] = Probe(reachable=False, reason=f"{name} has failed", elapsed_s=0.0)
            continue
        units = tuple(_unit(i) for i, r in plant.running.items() if i.device == name and not r.dead)
        found[name] = Probe(reachable=True, reason="", elapsed_s=0.0, units=units)
    return found


def _unit(instance: Instance) -> UnitState:
    return UnitState(instance=str(instance), active_state="active", sub_state="running")
