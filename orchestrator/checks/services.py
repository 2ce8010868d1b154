"""Looks at whether the services' limits can be met by the devices that there are."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.checks.line import Line, counted
from orchestrator.inventory import Inventory


def service_lines(inventory: Inventory) -> Iterable[Line]:
    """One line per service."""
    slots = {device.name: device.slots for device in inventory.devices}
    for service in inventory.services:
        hosts = inventory.hosts_of(service)
        room = sum(slots[name] for name in hosts)
        wants = f"{service.min_instances} to {service.max_instances} instances"
        has = f"{counted(hosts, 'device')} with {counted(room, 'slot')}"
        if room < service.min_instances:
            mend = f"lower min_instances, widen hosts ({service.hosts!r}) or raise fogverse_slots of its devices"
            yield Line("service", service.name, "warn", f"{wants}, but only {has}", mend)
        elif room < service.max_instances:
            yield Line("service", service.name, "note", f"{wants}; {has}: no more than {room} will ever run")
        else:
            yield Line("service", service.name, "ok", f"{wants}; {has}")
