"""Draining a device: everything of ours on it, or one service; of a device that is gone by force.

Works without a master. A device that answers is drained by the playbook that an operator would run: its instances stop
fetching, finish, commit and leave. By force the members of one that does not answer are taken out of their groups.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.act.actuator import Actuator, OnEvent
from orchestrator.act.run import PlaybookRun
from orchestrator.broker.cluster import Cluster
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service

#: How long a group may take to be without a member whose process has ended.
LEFT_S = 20.0
_LOOK_S = 0.3

Outcome = Literal["drained", "evicted", "failed"]


@dataclass(frozen=True, slots=True)
class Cleared:
    """What became of a service on a device.

    Attributes:
        service: its name.
        outcome: ``drained``: stopped in order, and no member any more; ``evicted``: its device does not answer, and it
            is no member any more; ``failed``: neither.
        instances: its instances there by unit and membership, as they were before.
        reason: why it was not drained, in words.
    """

    service: str
    outcome: Outcome
    instances: tuple[str, ...]
    reason: str = ""


def clear(
    device: str,
    running: Collection[tuple[Service, Collection[str]]],
    actuator: Actuator,
    cluster: Cluster,
    inventory: Path,
    stop: threading.Event,
    *,
    unreachable: str,
    force: bool,
    began: Callable[[Service], OnEvent],
) -> list[Cleared]:
    """Drain instances of services on one device, service by service.

    Args:
        device: its name in the inventory.
        running: services that run there, each with the names of its instances.
        actuator: runs Ansible.
        cluster: this thread's admin connection.
        inventory: given to Ansible.
        stop: ends it early; what was not begun is left as it is.
        unreachable: why the device does not answer; empty when it does.
        force: take those that cannot be drained out of their groups.
        began: is told each service that it comes to, and gives who hears of the run's events.

    Raises:
        BrokerUnreachable: no broker answered.
        KafkaError: the broker does not let us change the group.
    """
    done = []
    for service, names in running:
        if stop.is_set():
            break
        instances, reason = tuple(sorted(names)), unreachable
        if not reason:
            request = PlaybookRun("drain.yml", inventory, device, {"service": service.name, "slot": "all"})
            host = actuator.run(request, stop, began(service)).of(device)
            reason = host.words
            if host.verdict == "ok" and not _left(device, service, cluster, stop):
                reason = f"it is stopped, but {service.group_id} still lists it"
        outcome: Outcome = "failed" if reason else "drained"
        if reason and force and not stop.is_set():
            cluster.evict(service.group_id, members(device, service, cluster), f"{device} is drained by force")
            outcome = "evicted"
        done.append(Cleared(service.name, outcome, instances, reason))
    return done


def members(device: str, service: Service, cluster: Cluster) -> list[str]:
    """Names of the instances on a device that the service's group lists.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    listed = cluster.groups([service.group_id])[service.group_id].members
    found = [(member.client_id, Instance.parse(member.client_id)) for member in listed]
    return [name for name, instance in found if instance is not None and instance.device == device]


def _left(device: str, service: Service, cluster: Cluster, stop: threading.Event) -> bool:
    until = time.monotonic() + LEFT_S
    while members(device, service, cluster):
        if time.monotonic() > until or stop.wait(_LOOK_S):
            return False
    return True
