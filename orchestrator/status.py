"""What `status` and the demo show: read from the broker on the spot, so that it works without a master, too."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import Entry
from orchestrator.broker.look import Look
from orchestrator.broker.tail import tail
from orchestrator.core.fleet import observe
from orchestrator.core.mark import Mark
from orchestrator.core.service import Service
from orchestrator.core.tally import Tally
from orchestrator.inventory import Inventory
from orchestrator.settings import Settings

#: Seconds over which the rates are taken.
SPAN_S = 5.0
#: Seconds until the reports about a second have arrived.
SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One instance: its name, device, partitions, messages finished per second, age of its last report."""

    name: str
    device: str
    partitions: tuple[int, ...] | None
    member: bool | None
    finished_per_s: float | None
    report_age_s: float | None


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service now.

    Attributes:
        name: of the service.
        input_per_s: messages arriving on the source topic; None when it does not exist.
        output_per_s: messages finished by the instances; None when none reports.
        ratio: output/input; None without input.
        lag: messages not committed by the group.
        partitions: of the source topic.
        instances: those that report or are members.
        foreign: client ids in the group that are no instances of ours.
        decision: the last one in the ledger, with ``age_s``; None when there is none.
        steps: the steps since that or the last action, newest last.
    """

    name: str
    input_per_s: float | None
    output_per_s: float | None
    ratio: float | None
    lag: int | None
    partitions: int | None
    instances: tuple[InstanceStatus, ...]
    foreign: tuple[str, ...] = ()
    decision: Mapping[str, Any] | None = None
    steps: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """Every service now, and the master.

    Attributes:
        at: seconds since the epoch.
        master: the last coming or going of a master, with ``age_s``; None when none was ever here.
        services: in the inventory's order.
        rejected: observer messages refused in the last minute.
        marks: what operators have ordered for devices, and is in force.
    """

    at: float
    master: Mapping[str, Any] | None
    services: tuple[ServiceStatus, ...] = field(default_factory=tuple)
    rejected: int = 0
    marks: tuple[Mark, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def collect(
    inventory: Inventory, settings: Settings, cluster: Cluster, now: float, marks: Collection[Mark] = ()
) -> Status:
    """Read the status of every service; ``marks`` were read from the ledger's state, which may be long, before.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    options = inventory.kafka.client_options()
    look = cluster.look(
        now, {s.source_topic for s in inventory.services}, {service.group_id for service in inventory.services}
    )
    tally = Tally()
    for record in tail(options, settings.observer_consumer_topic, since=now - 60):
        tally.add(record.value, record.timestamp / 1000, record.partition, record.offset)
    entries = ledger.read(options, settings.ledger_topic)
    return Status(
        at=now,
        master=_last_master(entries, now),
        services=tuple(
            _service(s, inventory.slots_of(s), look, tally, entries, cluster, now) for s in inventory.services
        ),
        rejected=tally.rejected,
        marks=tuple(mark for mark in marks if mark.holds(now)),
    )


def _service(
    service: Service,
    slots: Mapping[str, int],
    look: Look,
    tally: Tally,
    entries: list[Entry],
    cluster: Cluster,
    now: float,
) -> ServiceStatus:
    start, end = now - SETTLE_S - SPAN_S, now - SETTLE_S
    arrived = None
    if service.source_topic in look.ends:
        earlier, later = cluster.arrivals(service.source_topic, [start, end])
        arrived = max(0.0, (later - earlier) / SPAN_S)
    finished = _finished(tally, start, end)
    ages = {name: now - at for name, (at, report) in tally.reports.items() if report.service == service.name}
    fleet = observe(service.name, service.source_topic, slots, ages, look.groups.get(service.group_id))
    instances = tuple(
        InstanceStatus(
            name=str(o.instance),
            device=o.instance.device,
            partitions=o.partitions,
            member=o.member,
            finished_per_s=finished.get(str(o.instance)),
            report_age_s=None if o.report_age_s is None else round(o.report_age_s, 1),
        )
        for o in fleet.observed or ()
    )
    rates = [i.finished_per_s for i in instances if i.finished_per_s is not None]
    output = round(sum(rates), 1) if rates else None
    mine = [entry for entry in entries if entry.service == service.name]
    decision = next((e for e in reversed(mine) if e.kind == "decision"), None)
    return ServiceStatus(
        name=service.name,
        input_per_s=None if arrived is None else round(arrived, 1),
        output_per_s=output,
        ratio=round(output / arrived, 3) if output is not None and arrived else None,
        lag=look.lag(service.group_id, service.source_topic),
        partitions=look.partitions(service.source_topic),
        instances=instances,
        foreign=fleet.foreign,
        decision=None if decision is None else {**decision.body, "age_s": round(now - decision.at, 1)},
        steps=tuple(entry.body for entry in mine if entry.kind == "step")[-12:],
    )


def _finished(tally: Tally, start: float, end: float) -> dict[str, float]:
    rates: dict[str, float] = {}
    for _, name, begin, stop, messages, _ in tally.finished:
        overlap = min(end, stop) - max(start, begin)
        if overlap > 0:
            rates[name] = rates.get(name, 0.0) + messages * overlap / (stop - begin)
    return {name: round(amount / (end - start), 1) for name, amount in rates.items()}


def _last_master(entries: list[Entry], now: float) -> Mapping[str, Any] | None:
    last = next((entry for entry in reversed(entries) if entry.kind == "master"), None)
    return None if last is None else {**last.body, "age_s": round(now - last.at, 1)}
