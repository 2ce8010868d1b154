"""Where the next instance goes: a pure choice among the devices, with the count that each filter removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orchestrator.core.device import Device
from orchestrator.core.instance import Instance


@dataclass(frozen=True, slots=True)
class Mark:
    """Why a device is not used for a while.

    Attributes:
        device: which.
        reason: what happened, in words.
        until: when it may be tried again, seconds since the epoch.
    """

    device: str
    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Candidates for one new instance, best first, and what became of the other devices.

    Attributes:
        candidates: instances that may be started, one per device that has room.
        removed: number of devices that each filter took out, by its name.
    """

    candidates: tuple[Instance, ...]
    removed: Mapping[str, int]

    @property
    def explanation(self) -> str:
        """E.g. ``2 candidates; removed: 1 full, 1 unreachable``."""
        removed = ", ".join(f"{count} {name}" for name, count in self.removed.items() if count)
        found = f"{len(self.candidates)} candidate{'' if len(self.candidates) == 1 else 's'}"
        return f"{found}; removed: {removed}" if removed else found


def place(
    service: str,
    devices: Collection[Device],
    occupied: Collection[Instance],
    unreachable: Collection[str],
    marks: Collection[Mark],
    now: float,
) -> Placement:
    """Choose devices for one more instance of ``service``.

    Args:
        service: name of the service.
        devices: the devices of the service's inventory pattern.
        occupied: instances of every service that hold a slot.
        unreachable: names of devices that did not answer.
        marks: devices that failed lately.
        now: seconds since the epoch.

    Returns:
        Devices that run none of this service come first, then those with the greater capacity, then those with
        more free slots, then by name; a device with an unknown capacity counts as the weakest known.
    """
    marked = {mark.device for mark in marks if now < mark.until}
    removed = {"unreachable": 0, "marked": 0, "full": 0}
    weakest = min((d.capacity for d in devices if d.capacity is not None), default=0.0)
    ranked = []
    for device in devices:
        here = [i for i in occupied if i.device == device.name]
        if device.name in unreachable:
            removed["unreachable"] += 1
        elif device.name in marked:
            removed["marked"] += 1
        elif len(here) >= device.slots:
            removed["full"] += 1
        else:
            mine = {i.slot for i in here if i.service == service}
            slot = next(n for n in range(1, len(mine) + 2) if n not in mine)
            capacity = weakest if device.capacity is None else device.capacity
            key = (len(mine), -capacity, -(device.slots - len(here)), device.name)
            ranked.append((key, Instance(service, device.name, slot)))
    return Placement(tuple(instance for _, instance in sorted(ranked)), removed)
