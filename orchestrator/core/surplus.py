"""Which instances are given back: those that are missed least."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from orchestrator.core.ground import Ground
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Strategy


def give_back(
    service: str, running: Collection[Instance], count: int, strategy: Strategy, ground: Ground
) -> tuple[Instance, ...]:
    """Choose the instances that are missed least, the first of them least of all.

    Those on devices that are too hot or overloaded come first, then those on the weakest devices; among equals
    ``spread`` takes from where most of the service run, ``pack`` from where least of anything runs, so that a device
    becomes free.

    Args:
        service: name of the service.
        running: its instances that may be stopped.
        count: how many are to go.
        strategy: as for placement.
        ground: what the devices are like now.
    """
    left, gone = set(running), list[Instance]()

    def missed(instance: Instance) -> tuple[Any, ...]:
        device = instance.device
        mine = sum(other.device == device for other in left)
        others = sum(o.device == device for o in ground.occupied if o.service != service)
        crowd = -mine if strategy == "spread" else mine + others
        spared = ground.hot(device) or ground.overloaded(device)
        return (not spared, ground.capacity(device), crowd, -instance.slot, device)

    while left and len(gone) < count:
        gone.append(min(left, key=missed))
        left.discard(gone[-1])
    return tuple(gone)
