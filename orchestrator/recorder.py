"""Keeps what a master would observe in a file, without changing anything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from kafka.errors import KafkaError

from orchestrator.broker.cluster import Cluster
from orchestrator.broker.look import Look
from orchestrator.broker.observer import Observer
from orchestrator.clock import Clock
from orchestrator.core.service import Service
from orchestrator.core.tally import Tally
from orchestrator.errors import BrokerUnreachable, OrchestratorError
from orchestrator.inventory import Inventory
from orchestrator.settings import Settings
from orchestrator.simulate.recording import LARGEST_BYTES, Moment, header, ledger_line, line

log = logging.getLogger(__name__)


def record(
    file: Path,
    seconds: float,
    inventory: Inventory,
    settings: Settings,
    clock: Clock,
    cluster: Cluster,
    observer: Observer,
    read_ledger: Callable[[], Iterable[Mapping[str, Any]]],
    stop: threading.Event,
) -> int:
    """Record until ``seconds`` have passed, ``stop`` is set or the file is full; returns the number of looks.

    Args:
        file: what is appended to.
        seconds: how long at most.
        inventory: the services and devices.
        settings: the master's; a look every ``sleep_time``.
        clock: time.
        cluster: offsets and groups.
        observer: the observer topic; it should commit nothing.
        read_ledger: the ledger's entries since the beginning.
        stop: ends it early.

    Raises:
        OrchestratorError: the file cannot be written.
    """
    looks, begin = 0, clock.now()
    try:
        with _open(file) as out:
            observer.start()
            observer.take()
            _write(out, header(settings, inventory.services, _devices(inventory), begin))
            while True:
                _write(out, line(look(inventory.services, cluster, observer, clock)))
                looks += 1
                if out.tell() >= LARGEST_BYTES:
                    log.warning("%s has reached %d MB: it is enough", file, LARGEST_BYTES // 1_000_000)
                    break
                if clock.now() - begin >= seconds or clock.wait(stop, settings.sleep_time):
                    break
            try:
                _write(out, ledger_line(entry for entry in read_ledger() if entry["at"] >= begin))
            except (BrokerUnreachable, KafkaError) as error:
                log.warning("the ledger is left out, it could not be read: %s", error)
    except OSError as error:
        raise OrchestratorError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        observer.close()
        cluster.close()
    return looks


def look(services: Iterable[Service], cluster: Cluster, observer: Observer, clock: Clock) -> dict[str, Moment]:
    """What can be seen of every service now; a broker that does not answer leaves it unknown."""
    tally, now = observer.take(), clock.now()
    services = tuple(services)
    found: Look | None
    try:
        found = cluster.look(now, {s.source_topic for s in services}, {s.group_id for s in services})
    except (BrokerUnreachable, KafkaError) as error:
        log.warning("nothing is known of this second: %s", error)
        found = None
    return {service.name: _moment(service, now, found, tally) for service in services}


def _moment(service: Service, now: float, found: Look | None, tally: Tally) -> Moment:
    reports: dict[str, tuple[float, int, float]] = {}
    for name, instance, start, end, count, busy_s in tally.finished:
        if name == service.name:
            before = reports.get(instance, (0.0, 0, 0.0))
            reports[instance] = (before[0] + end - start, before[1] + int(count), before[2] + busy_s)
    if found is None:
        return Moment(now, None, None, None, reports)
    topic, group = service.source_topic, found.groups.get(service.group_id)
    members = None
    if group is not None and group.stable:
        members = {member.client_id: member.partitions.get(topic, ()) for member in group.members}
    return Moment(now, found.ends.get(topic), found.positions(service.group_id, topic), members, reports)


def _devices(inventory: Inventory) -> list[dict[str, Any]]:
    return [
        {
            "name": device.name,
            "slots": device.slots,
            "capacity": device.capacity,
            "services": [s.name for s in inventory.services if device.name in inventory.hosts_of(s)],
        }
        for device in inventory.devices
    ]


def _open(file: Path) -> IO[str]:
    out = file.open("a+", encoding="utf-8")
    # a line that a crash has torn is ended, so that it spoils only itself
    if out.tell():
        with file.open("rb") as raw:
            raw.seek(-1, 2)
            if raw.read(1) != b"\n":
                out.write("\n")
    return out


def _write(out: IO[str], text: str) -> None:
    out.write(text + "\n")
    out.flush()
