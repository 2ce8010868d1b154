"""Slots that actions under way have reserved: two services that scale at once must not take the same one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from orchestrator.core.instance import Instance


class Slots:
    """Reservations of slots; safe for several threads."""

    def __init__(self, slots: Mapping[str, int]) -> None:
        """Take the number of slots of each device."""
        self._slots = slots
        self._held: set[Instance] = set()
        self._lock = threading.Lock()

    def reserve(self, instance: Instance, occupied: Iterable[Instance]) -> bool:
        """Hold a slot for an instance; False when its device has none left.

        Args:
            instance: what is about to be started.
            occupied: instances that were observed, of all services.
        """
        with self._lock:
            others = {i for i in (*occupied, *self._held) if i.device == instance.device and i != instance}
            if instance in self._held or len(others) >= self._slots.get(instance.device, 0):
                return False
            self._held.add(instance)
            return True

    def release(self, instance: Instance) -> None:
        """Give the slot back; what was started there is observed from now on."""
        with self._lock:
            self._held.discard(instance)

    def held(self) -> frozenset[Instance]:
        """What is reserved now."""
        with self._lock:
            return frozenset(self._held)
