"""Where new instances go: a pure choice among the devices, with the count that each filter removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.core.device import Condition, Device
from orchestrator.core.ground import Ground
from orchestrator.core.instance import Instance
from orchestrator.core.requirements import Requirements

Strategy = Literal["spread", "pack"]

#: Why a device is left out, in the order in which it is asked.
FILTERS = (
    "unreachable",
    "drained",
    "quarantined",
    "other architecture",
    "without the labels",
    "too hot",
    "full",
    "short of memory",
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be placed.

    Attributes:
        service: name of the service.
        count: instances wanted.
        each: messages per second that each of them must manage for the service to manage what it is to (partitions are
            dealt out evenly, so the weakest sets the pace); None when that is not known.
        strategy: over many devices, or onto few.
        requires: what each instance needs.
        arch: architectures that the service's code and the runtime run on; none for any.
    """

    service: str
    count: int = 1
    each: float | None = None
    strategy: Strategy = "spread"
    requires: Requirements = field(default_factory=Requirements)
    arch: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Placement:
    """Which instances to start, best first, and what became of the other devices.

    Attributes:
        chosen: instances to start.
        wanted: how many were asked for.
        removed: number of devices that each filter took out, by its name.
    """

    chosen: tuple[Instance, ...]
    wanted: int
    removed: Mapping[str, int]

    @property
    def explanation(self) -> str:
        """E.g. ``1 of 2 placed; removed: 1 full, 1 unreachable``."""
        removed = ", ".join(f"{count} {name}" for name, count in self.removed.items() if count)
        found = f"{len(self.chosen)} of {self.wanted} placed"
        return f"{found}; removed: {removed}" if removed else found


def place(request: Request, ground: Ground) -> Placement:
    """Choose the best slots, as many as are wanted.

    ``spread`` fills the devices that run least of the service first, then the stronger, then the emptier ones;
    ``pack`` those that are in use already, then those with most room, so that as few devices as possible are used. A
    device whose processors are overloaded, or that is too weak for an instance's share, is taken only when no other is
    left: so what was reckoned to suffice does.
    """
    removed = dict.fromkeys(FILTERS, 0)
    usable = []
    for device in ground.devices:
        obstacle = _obstacle(request, ground, device)
        if obstacle is None:
            usable.append(device)
        else:
            removed[obstacle] += 1
    orders: dict[str, Callable[[_Room], tuple[Any, ...]]] = {"spread": _Room.spread, "pack": _Room.pack}
    chosen = _take(request, ground, usable, orders[request.strategy])
    return Placement(tuple(chosen), request.count, removed)


class _Room:
    """A device's free slots while a batch is being placed."""

    def __init__(self, request: Request, ground: Ground, device: Device) -> None:
        here = [i for i in ground.occupied if i.device == device.name]
        self.device, self._service = device.name, request.service
        self.mine = {i.slot for i in here if i.service == request.service}
        self.used, self.free = len(here), device.slots - len(here)
        self.capacity = ground.capacity(device.name)
        weak = request.each is not None and self.capacity < request.each
        self.last = ground.overloaded(device.name) + weak
        found, need = ground.conditions.get(device.name), request.requires.memory_mb
        if need is not None and found is not None and found.memory_mb is not None:
            self.free = min(self.free, found.memory_mb // need)

    def take(self) -> Instance:
        slot = next(n for n in range(1, len(self.mine) + 2) if n not in self.mine)
        self.mine.add(slot)
        self.used, self.free = self.used + 1, self.free - 1
        return Instance(self._service, self.device, slot)

    def spread(self) -> tuple[Any, ...]:
        return (self.last, len(self.mine), -self.capacity, -self.free, self.device)

    def pack(self) -> tuple[Any, ...]:
        return (self.last, self.used == 0, -self.free, -self.capacity, self.device)


def _take(
    request: Request, ground: Ground, usable: Collection[Device], order: Callable[[_Room], tuple[Any, ...]]
) -> list[Instance]:
    rooms = [room for device in usable if (room := _Room(request, ground, device)).free > 0]
    taken: list[Instance] = []
    while rooms and len(taken) < request.count:
        best = min(rooms, key=order)
        taken.append(best.take())
        if best.free <= 0:
            rooms.remove(best)
    return taken


def _obstacle(request: Request, ground: Ground, device: Device) -> str | None:
    """The first filter that takes the device out; what is not known takes nothing out."""
    found = ground.conditions.get(device.name, Condition(reachable=True))
    needs = request.requires
    here = sum(i.device == device.name for i in ground.occupied)
    obstacles = (
        not found.reachable,
        device.name in ground.drained,
        device.name in ground.quarantined,
        found.arch is not None
        and any(allowed and found.arch not in allowed for allowed in (frozenset(needs.arch), request.arch)),
        not device.labels.issuperset(needs.labels),
        ground.hot(device.name),
        here >= device.slots,
        None not in (needs.memory_mb, found.memory_mb) and (found.memory_mb or 0) < (needs.memory_mb or 0),
    )
    return next((name for name, hit in zip(FILTERS, obstacles, strict=True) if hit), None)
