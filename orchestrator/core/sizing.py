"""How many instances, and on which devices, manage so many messages per second on so many partitions.

Kafka deals the partitions out evenly by number, whatever the members are able to do. So a service is as fast as the
member that is the first to fall behind: with ``p`` partitions of equal traffic, ``owned`` of them at most on a member,
and ``rate`` of the weakest, that is at ``p * rate / owned`` messages/s in all. Four partitions on three members are no
faster than on two, and one weak device holds strong ones back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.growth import even
from orchestrator.core.rates import Rates, class_of
from orchestrator.core.service import Service


@dataclass(frozen=True, slots=True)
class Plan:
    """A size of the fleet.

    Attributes:
        instances: how many.
        capacity: messages/s that they manage.
        partitions: of the source topic; None when unknown.
        devices: the device of each instance, those that run already first.
        suffices: whether the capacity is what was needed.
    """

    instances: int
    capacity: float
    partitions: int | None
    devices: tuple[str, ...]
    suffices: bool


def growable(service: Service) -> bool:
    """Whether partitions may be added to the service's topic: growth moves keys to other partitions."""
    return service.ordering == "none"


def partitions_for(service: Service, instances: int, partitions: int | None) -> int | None:
    """Partitions that the topic would have with so many instances; None when it is not known how many it has."""
    if partitions is None or not growable(service):
        return partitions
    return even(instances, partitions, service.partitions_limit)


def capacity(weakest: float, instances: int, partitions: int | None) -> float:
    """Messages/s that so many instances manage, the weakest of which manages ``weakest``."""
    if instances == 0:
        return 0.0
    if partitions is None or partitions % instances == 0:
        return weakest * instances
    return weakest * partitions / math.ceil(partitions / instances)


class Ladder:
    """Devices in the order in which they are used: those of running instances, then free slots; strong ones first."""

    def __init__(self, service: Service, fleet: ServiceFleet, rates: Rates, partitions: int | None) -> None:
        """Order the devices.

        Args:
            service: whose, with its limits.
            fleet: its instances, and the free slots of its devices.
            rates: what an instance manages where; known for at least one device.
            partitions: of the source topic; None when unknown.
        """
        self._service, self._fleet, self._rates, self._partitions = service, fleet, rates, partitions
        self._rungs = self._ordered(o.instance.device for o in fleet.observed or () if o.member is not False)
        self.current = len(self._rungs)
        self._spares = False

    @property
    def slowest(self) -> float | None:
        """Messages/s of the weakest running instance, or what an instance usually manages; None when unknown."""
        return (self._rungs[self.current - 1][0] if self.current else self._rates.usual) or None

    @property
    def slots(self) -> int:
        """Instances that there are slots for."""
        self._reach(self.current + 1)
        return len(self._rungs)

    @property
    def partitions_most(self) -> int | None:
        """Partitions that the topic may have at most: more instances would own none."""
        if self._partitions is None or not growable(self._service):
            return self._partitions
        return max(self._partitions, self._service.partitions_limit)

    @property
    def most(self) -> int:
        """Instances that there can be: by slots, ``max_instances`` and partitions."""
        most = min(self.slots, self._service.max_instances)
        return most if self.partitions_most is None else min(most, max(self.partitions_most, self.current))

    def plan(self, instances: int, needed: float = 0.0) -> Plan:
        """What the first so many instances manage."""
        able, partitions = self._able(instances)
        devices = tuple(name for _, name in self._rungs[:instances])
        return Plan(instances, able, partitions, devices, able >= needed)

    def smallest(self, needed: float, least: int) -> Plan:
        """The smallest fleet of at least ``least`` instances that manages ``needed``.

        Where none does, the smallest of those that manage the most; never beyond :attr:`most`.
        """
        strongest = self._rungs[0][0] if self._rungs else 0.0
        # fewer than these cannot manage it whatever they are, so they matter only where nothing does
        begin = max(least, math.ceil(needed / strongest)) if strongest and needed < math.inf else least
        plan = self._first(needed, begin)
        return plan if plan.suffices or begin == least else self._first(needed, least)

    def _first(self, needed: float, least: int) -> Plan:
        best, most = -1.0, 0
        for instances in chain(range(least, self.current + 1), self._beyond(least)):
            able, _ = self._able(instances)
            if able >= needed:
                return self.plan(instances, needed)
            if able > best:
                best, most = able, instances
        return self.plan(most, needed)

    def _beyond(self, least: int) -> Iterator[int]:
        # a generator: the free slots are not looked at while those that run suffice
        yield from range(max(least, self.current + 1), max(self.most, min(least, self.slots)) + 1)

    def _able(self, instances: int) -> tuple[float, int | None]:
        self._reach(instances)
        grown = instances > self.current
        partitions = partitions_for(self._service, instances, self._partitions) if grown else self._partitions
        return capacity(self._weakest(instances), instances, partitions), partitions

    def _weakest(self, instances: int) -> float:
        if instances > self.current:
            return min(self._rungs[min(instances, len(self._rungs)) - 1][0], self._weakest(self.current))
        return self._rungs[instances - 1][0] if instances else math.inf

    def _reach(self, instances: int) -> None:
        if instances <= len(self._rungs) or self._spares:
            return
        self._spares, fleet = True, self._fleet
        if not fleet.devices:  # nobody said what devices there are: more of the same
            usual = self._rungs[-1] if self._rungs else (self._rates.usual or 0.0, "")
            self._rungs = self._rungs + [usual] * max(0, self._service.max_instances - self.current)
            return
        here = Counter(instance.device for instance in fleet.instances)
        self._rungs = self._rungs + self._ordered(
            name
            for name, device in fleet.devices.items()
            for _ in range(fleet.free.get(name, device.slots - here[name]))
        )

    def _ordered(self, names: Iterable[str]) -> list[tuple[float, str]]:
        return sorted(((self._rates.of(name) or 0.0, name) for name in names), key=lambda rung: (-rung[0], rung[1]))


def owned(instances: int, partitions: int | None) -> tuple[int, int] | None:
    """Partitions that the most and the least burdened instance own; None when it is not known or nobody owns any."""
    if partitions is None or instances == 0:
        return None
    return math.ceil(partitions / instances), partitions // instances


def by_class(names: Iterable[str], rates: Rates) -> str:
    """``2 pi-5, 1 pi-3``: how many of the devices are of which class, in the order of first mention."""
    counts = Counter(class_of(rates.devices, name) for name in names)
    return ", ".join(f"{count} {name}" for name, count in counts.items())
