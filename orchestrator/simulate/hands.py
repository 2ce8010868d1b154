"""Starts and stops simulated instances for policies that only say how many there should be."""

from __future__ import annotations

from orchestrator.core.instance import Instance
from orchestrator.simulate.plant import Plant


class Hands:
    """A plain scheduler: emptiest device first, the weakest and newest instance is stopped first."""

    def __init__(self, plant: Plant) -> None:
        """Work on ``plant``."""
        self._plant = plant

    @property
    def held(self) -> list[Instance]:
        """Instances that run or are being started, and are not being stopped; dead ones until the group notices."""
        return [i for i, r in self._plant.running.items() if r.leaves_at is None or r.dead]

    def reach(self, wanted: int) -> None:
        """Start or stop until ``wanted`` instances are there or on their way, as far as devices have room."""
        held = self.held
        for _ in range(wanted - len(held)):
            place = self._room()
            if place is None:
                return
            self._plant.start(place)
        for instance in self.weakest()[: max(0, len(held) - wanted)]:
            self._plant.stop(instance)

    def weakest(self) -> list[Instance]:
        """Those that are missed least first: the slowest, among them the newest."""
        running = self._plant.running
        alive = [instance for instance in self.held if not running[instance].dead]
        return sorted(alive, key=lambda i: (running[i].rate, -running[i].joined_at, str(i)))

    def _room(self) -> Instance | None:
        scenario, now = self._plant.scenario, self._plant.second
        used: dict[str, set[int]] = {device.name: set() for device in scenario.devices}
        for instance in self._plant.running:
            used[instance.device].add(instance.slot)
        free = [
            (len(used[d.name]), -scenario.rates[d.name], place)
            for place, d in enumerate(scenario.devices)
            if scenario.alive(d.name, now) and len(used[d.name]) < d.slots
        ]
        if not free:
            return None
        device = scenario.devices[min(free)[2]].name
        slot = next(n for n in range(1, len(used[device]) + 2) if n not in used[device])
        return Instance(scenario.service.name, device, slot)
