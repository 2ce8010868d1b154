"""What a master takes over from the one before it, out of the ledger."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from orchestrator.broker.ledger import Entry
from orchestrator.core.instance import Instance
from orchestrator.core.mark import Mark
from orchestrator.core.memory import Memory
from orchestrator.core.override import Override
from orchestrator.core.quarantine import Quarantine
from orchestrator.core.unfinished import unfinished_starts
from orchestrator.devices import Devices
from orchestrator.service_state import ServiceState

log = logging.getLogger(__name__)


def take_over(
    states: Mapping[str, ServiceState],
    devices: Devices,
    kept: Iterable[Entry],
    history: Iterable[Entry],
    since: float,
) -> dict[str, dict[Instance, float]]:
    """Give every service its memory and its order back.

    Args:
        states: by service name; changed in place.
        devices: are told which are in quarantine, and which an operator has set aside.
        kept: the ledger's state, one entry per kind and service or device.
        history: the ledger's history, oldest first; steps newer than the memory still count.
        since: starts placed before are not taken up again.

    Returns:
        Per service the starts that were under way, with the time each was placed.
    """
    remembered: dict[str, float] = {}
    for entry in kept:
        if entry.kind == "device":
            set_aside(devices, entry)
        state = states.get(entry.service)
        if state is None:
            continue
        if entry.kind == "override":
            give_order(state, entry)
        elif entry.kind == "memory":
            try:
                state.memory = Memory.from_dict(entry.body)
                remembered[entry.service] = entry.at
            except ValueError as error:
                log.warning("%s: begins without the last master's memory: %s", entry.service, error)
    steps = [entry for entry in history if entry.kind == "step" and entry.service in states]
    for entry in steps:
        state = states[entry.service]
        if entry.at > remembered.get(entry.service, 0):
            _remember(state, entry)
        _care(state, devices, entry)
    found: dict[str, dict[Instance, float]] = {}
    for instance, at in unfinished_starts((entry.body for entry in steps), since).items():
        if instance.service in states:
            found.setdefault(instance.service, {})[instance] = at
    return found


def _remember(state: ServiceState, entry: Entry) -> None:
    """Add to a memory what happened after it was written."""
    match entry.body.get("name"):
        case "placed":
            state.remember(last_start_at=entry.at)
        case "proved":
            state.remember(last_seen_new_at=entry.at)
            state.started_up(entry.body.get("numbers") or {})
        case "draining":
            state.remember(last_stop_at=entry.at)


def _care(state: ServiceState, devices: Devices, entry: Entry) -> None:
    """Take over which devices are in quarantine, and who runs in whose place."""
    numbers = entry.body.get("numbers") or {}
    instance = Instance.parse(str(entry.body.get("instance")))
    if instance is None:
        return
    match entry.body.get("name"):
        case "proved":
            devices.worked(instance.device)
        case "quarantined" if {"until", "failures", "reason"} <= set(numbers):
            until, failures = float(numbers["until"]), int(numbers["failures"])
            devices.resume(Quarantine(instance.device, str(numbers["reason"]), until, failures))
        case "replaced":
            if (by := Instance.parse(str(numbers.get("by")))) is not None:
                state.care.stand_ins[instance] = by
        case "surplus":
            state.care.stand_ins.pop(instance, None)


def give_order(state: ServiceState, entry: Entry) -> None:
    """Let an operator's order hold for a service from its next decision on, which is due at once."""
    order = Override.from_dict(entry.body)
    if order is None:
        log.warning("%s: an order in the ledger cannot be read and is left out: %s", entry.service, dict(entry.body))
        return
    if state.override is None or order.at > state.override.at:
        state.override = order
        state.next_at = 0.0


def set_aside(devices: Devices, entry: Entry) -> None:
    """Let an operator's order hold for a device, from the next placement on."""
    mark = Mark.from_dict(entry.body)
    if mark is None:
        log.warning("%s: an order in the ledger cannot be read and is left out: %s", entry.device, dict(entry.body))
        return
    devices.mark(mark)
