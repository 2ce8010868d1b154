"""The devices at run time: how they were found last, which are in quarantine, and which slots are reserved."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from orchestrator.act.slots import Slots
from orchestrator.clock import Clock
from orchestrator.core.device import Condition, Device
from orchestrator.core.ground import Ground, Limits
from orchestrator.core.instance import Instance
from orchestrator.core.mark import Mark
from orchestrator.core.placement import Placement, Request, place
from orchestrator.core.quarantine import Quarantine, after_failure
from orchestrator.core.service import Service
from orchestrator.core.surplus import give_back
from orchestrator.inventory import Inventory
from orchestrator.settings import Settings
from orchestrator.ssh.probe import Probe

log = logging.getLogger(__name__)

ProbeDevices = Callable[[Iterable[str]], Mapping[str, Probe]]


class Devices:
    """Chooses among the devices of the inventory; safe for several threads."""

    def __init__(
        self,
        inventory: Inventory,
        settings: Settings,
        clock: Clock,
        probe_devices: ProbeDevices,
        architectures: Mapping[str, frozenset[str]],
    ) -> None:
        """Take the fleet; nothing is contacted before :meth:`look`.

        Args:
            inventory: the fleet.
            settings: quarantine and limits.
            clock: time.
            probe_devices: asks devices over SSH.
            architectures: by service, the machine architectures that its code runs on; none for any.
        """
        self.slots = Slots({device.name: device.slots for device in inventory.devices})
        self._inventory = inventory
        self._settings = settings
        self._clock = clock
        self._probe = probe_devices
        self._architectures = architectures
        self._lock = threading.Lock()
        self._quarantines: dict[str, Quarantine] = {}
        self._conditions: dict[str, Condition] = {}
        self._marks: dict[str, Mark] = {}

    def look(self, names: Iterable[str]) -> Mapping[str, Probe]:
        """Probe devices in parallel, and remember how they were."""
        probes = self._probe(names)
        with self._lock:
            self._conditions.update({name: probe.condition for name, probe in probes.items()})
        return probes

    @property
    def conditions(self) -> dict[str, Condition]:
        """How each device was when it was last asked, by name."""
        with self._lock:
            return dict(self._conditions)

    def place(
        self,
        service: Service,
        count: int,
        occupied: Collection[Instance],
        learned: Mapping[str, float],
        each: float | None = None,
    ) -> Placement:
        """Probe the devices of a service and choose where ``count`` more instances go.

        Args:
            service: what is to be started.
            count: instances wanted.
            occupied: instances of all services that hold a slot.
            learned: messages per second of one instance, by device class.
            each: messages per second that each instance must manage; None when not known.
        """
        probes = self.look(self._inventory.hosts_of(service))
        for name, probe in probes.items():
            if not probe.reachable:
                log.info("%s is left out: %s", name, probe.reason)
        running = [instance for probe in probes.values() for instance in active(probe)]
        request = Request(
            service.name,
            count,
            each,
            service.placement,
            service.requires,
            self._architectures.get(service.name, frozenset()),
        )
        return place(request, self._ground(service, {*occupied, *running, *self.slots.held()}, learned))

    def give_back(
        self,
        service: Service,
        running: Collection[Instance],
        count: int,
        occupied: Collection[Instance],
        learned: Mapping[str, float],
    ) -> tuple[Instance, ...]:
        """The instances that are missed least, judged by what was last known of their devices."""
        return give_back(service.name, running, count, service.placement, self._ground(service, occupied, learned))

    def failed(self, device: str, reason: str) -> Quarantine:
        """A step on the device has failed: it is left alone for a while, longer with each failure in a row."""
        with self._lock:
            quarantine = after_failure(
                self._quarantines.get(device),
                device,
                reason,
                self._clock.now(),
                self._settings.quarantine,
                self._settings.quarantine_max,
            )
            self._quarantines[device] = quarantine
        return quarantine

    def worked(self, device: str) -> None:
        """An instance has proved itself on the device: it is trusted again."""
        with self._lock:
            self._quarantines.pop(device, None)

    def resume(self, quarantine: Quarantine) -> None:
        """Take over a quarantine that an earlier master has ordered."""
        with self._lock:
            self._quarantines[quarantine.device] = quarantine

    def mark(self, mark: Mark) -> None:
        """Take in what an operator has ordered for a device; an older order than the last counts for nothing."""
        with self._lock:
            before = self._marks.get(mark.device)
            if before is None or mark.at > before.at:
                self._marks[mark.device] = mark
            if mark.kind == "none":  # who restores a device trusts it
                self._quarantines.pop(mark.device, None)

    def drained(self, service: str) -> dict[str, Mark]:
        """The devices that instances of a service are to be stopped on, each with the order, by name."""
        now = self._clock.now()
        with self._lock:
            return {name: mark for name, mark in self._marks.items() if mark.drains(service, now)}

    def described(self) -> dict[str, Device]:
        """Every device by name, its class filled in by what it said of itself when it was last asked."""
        conditions = self.conditions
        return {
            device.name: device
            if device.device_class or device.name not in conditions
            else replace(device, device_class=conditions[device.name].device_class)
            for device in self._inventory.devices
        }

    def barred(self) -> frozenset[str]:
        """Devices that get nothing new of any service: they failed lately, or were away when they were last asked."""
        now = self._clock.now()
        with self._lock:
            away = [name for name, condition in self._conditions.items() if not condition.reachable]
            return frozenset([*away, *(name for name, found in self._quarantines.items() if now < found.until)])

    def set_aside(self, service: str) -> frozenset[str]:
        """Devices that get nothing new of a service because an operator said so."""
        now = self._clock.now()
        with self._lock:
            return frozenset(name for name, mark in self._marks.items() if mark.bars(service, now))

    def _ground(self, service: Service, occupied: Collection[Instance], learned: Mapping[str, float]) -> Ground:
        names, now, conditions = self._inventory.hosts_of(service), self._clock.now(), self.conditions
        described = self.described()
        devices = [described[name] for name in names]
        rates = {device.name: device.capacity or learned.get(device.device_class or "") for device in devices}
        with self._lock:
            failed = [name for name, quarantine in self._quarantines.items() if now < quarantine.until]
        drained = self.drained(service.name)
        return Ground(
            devices,
            conditions,
            occupied,
            self.set_aside(service.name).difference(drained).union(failed),
            {name: rate for name, rate in rates.items() if rate},
            Limits(self._settings.max_temperature, self._settings.max_load),
            drained,
        )


def active(probe: Probe) -> list[Instance]:
    """The instances whose units run, or are being started, on a device."""
    found = [Instance.parse(unit.instance) for unit in probe.units if unit.active_state in ("active", "activating")]
    return [instance for instance in found if instance is not None]
