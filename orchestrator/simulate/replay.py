"""From a recording to a scenario: the traffic as it was, and consumers that work as those that were seen."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from statistics import median

import numpy as np

from orchestrator.core.device import Device
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.errors import SimulationInvalid
from orchestrator.settings import Settings
from orchestrator.simulate.recording import Moment, Recording
from orchestrator.simulate.scenario import Delays, Scenario
from orchestrator.simulate.traffic import Floats, Traffic

#: Share of its time that an instance was busy from which on it is taken to have done what it can.
SATURATED = 0.8
#: Seconds from which on there is something to replay.
SHORTEST_S = 10
#: Saturated reports of a device that are enough to believe.
ENOUGH = 3


def replay(
    recording: Recording,
    name: str | None,
    rate: float | None = None,
    service: Service | None = None,
    settings: Settings | None = None,
) -> Scenario:
    """Make a scenario of one service's recording.

    Args:
        recording: what was seen.
        name: of the service; may be None where the recording has one only.
        rate: messages/s of one instance, where no instance was seen at work.
        service: in place of the recorded one.
        settings: in place of the recorded ones.

    Raises:
        SimulationInvalid: the service is not there, too little was seen, or no rate is known.
    """
    original = service_of(recording, name)
    service = service or original
    seen = [m for m in recording.moments[original.name] if m.ends and m.committed]
    if not seen or seen[-1].at - seen[0].at < SHORTEST_S:
        raise SimulationInvalid(f"{recording.path} has less than {SHORTEST_S} s of {service.name}; record for longer")
    traffic = _traffic(seen)
    begin, first = seen[0].at, seen[0]
    ends = first.ends or {}
    members = next((m.members for m in seen if m.members is not None), {})
    instances = tuple(sorted(m for m in members if Instance.parse(m) is not None))
    devices = tuple(_device(values) for values in recording.devices if original.name in values["services"])
    delays = _delays(recording, original.name)
    waiting = max(0.0, float(first.lag or 0) - traffic.before * delays.commit_s)
    decisions = [float(e["at"]) for e in recording.ledger if e["kind"] == "decision" and e["service"] == original.name]
    return Scenario(
        name=recording.path.name,
        service=service,
        devices=devices,
        rates=_rates(recording, original.name, devices, rate),
        traffic=traffic,
        settings=settings or recording.settings,
        delays=delays,
        partitions=len(ends),
        instances=instances,
        lag=waiting,
        first_decision_s=max(0.0, min(decisions, default=begin) - begin),
    )


def service_of(recording: Recording, name: str | None) -> Service:
    """The recorded service of that name, or the only one.

    Raises:
        SimulationInvalid: there is none of that name, or several.
    """
    names = sorted(recording.services)
    if name is None and len(names) == 1:
        return recording.services[names[0]]
    if name is None or name not in recording.services:
        raise SimulationInvalid(f"{recording.path} has the services {', '.join(names)}; choose one with --service NAME")
    return recording.services[name]


def lag_area(moments: tuple[Moment, ...]) -> float:
    """Messages times seconds that were recorded as not committed; gaps count as the line between their ends."""
    known = [(m.at, m.lag) for m in moments if m.lag is not None]
    return sum((b[0] - a[0]) * ((a[1] or 0) + (b[1] or 0)) / 2 for a, b in pairwise(known))


def actions(recording: Recording, service: str) -> int:
    """Decisions to change the number of instances in the recorded ledger."""
    return sum(
        entry["kind"] == "decision" and entry["service"] == service and entry["body"]["direction"] != "none"
        for entry in recording.ledger
    )


def _traffic(seen: list[Moment]) -> Traffic:
    times = np.array([m.at for m in seen]) - seen[0].at
    grid = np.arange(int(times[-1]) + 1)
    count = max(len(m.ends or {}) for m in seen)
    columns = []
    for partition in range(count):
        ends = np.array([float((m.ends or {}).get(partition, 0)) for m in seen])
        columns.append(np.maximum(0.0, np.diff(np.interp(grid, times, ends))))
    by_second = np.array(columns).T
    there = [len(seen[int(place)].ends or {}) for place in np.searchsorted(times, grid[1:], side="right") - 1]
    observed: dict[int, Floats] = {
        second: row[: there[second]] for second, row in enumerate(by_second) if row[there[second] :].sum() == 0
    }
    return Traffic(by_second.sum(axis=1), observed=observed)


def _device(values: Mapping[str, object]) -> Device:
    capacity = values["capacity"]
    return Device(
        name=str(values["name"]),
        address="recorded",
        slots=int(str(values["slots"])),
        capacity=None if capacity is None else float(str(capacity)),
    )


def _rates(recording: Recording, service: str, devices: tuple[Device, ...], given: float | None) -> dict[str, float]:
    if given is not None:
        return {device.name: given for device in devices}
    full: dict[str, list[float]] = {}
    worked: dict[str, list[tuple[int, float]]] = {}
    for moment in recording.moments[service]:
        for name, (seconds, count, busy_s) in moment.reports.items():
            instance = Instance.parse(name)
            if instance is None or seconds <= 0 or count == 0:
                continue
            worked.setdefault(instance.device, []).append((count, busy_s))
            if busy_s >= SATURATED * seconds:
                full.setdefault(instance.device, []).append(count / seconds)
    known = {device: median(rates) for device, rates in full.items() if len(rates) >= ENOUGH}
    for device, pairs in worked.items():
        busy = sum(busy_s for _, busy_s in pairs)
        if device not in known and busy > 0:
            known[device] = sum(count for count, _ in pairs) / busy
    told = {device.name: device.capacity for device in devices if device.capacity}
    if not known and not told:
        raise SimulationInvalid(
            f"{recording.path}: no instance of {service} finished anything while it was recorded, and no device has "
            "fogverse_capacity: say what one manages with --set rate=MESSAGES_PER_SECOND"
        )
    usual = median([*known.values()] or [*told.values()])
    return {device.name: known.get(device.name) or told.get(device.name) or usual for device in devices}


def _delays(recording: Recording, service: str) -> Delays:
    after: dict[str, dict[str, float]] = {}
    for entry in recording.ledger:
        body = entry["body"]
        if entry["kind"] == "step" and entry["service"] == service and body.get("instance"):
            seconds = (body.get("numbers") or {}).get("after_s")
            if isinstance(seconds, int | float):
                after.setdefault(f"{body['instance']}/{round(entry['at'] - seconds)}", {})[body["name"]] = float(
                    seconds
                )
    # in the order in which they were recorded
    starts = [steps["member"] for steps in after.values() if "member" in steps]
    pauses = [
        max(0.0, steps["first-message"] - steps["member"])
        for steps in after.values()
        if "member" in steps and "first-message" in steps
    ]
    usual = Delays()
    if not starts:
        return usual
    return Delays(
        startup_s=median(starts),
        startup_spread=float(np.std(np.log(starts))) if len(starts) > 1 else 0.0,
        rebalance_s=median(pauses) if pauses else usual.rebalance_s,
        startups=tuple(starts),
    )
