"""The inventory as the master uses it: read, templated by Ansible, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.device import Device
from orchestrator.core.service import Service
from orchestrator.errors import Problem
from orchestrator.inventory.connection import Connection
from orchestrator.inventory.kafka import KafkaSettings


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything the user wrote, valid as a whole.

    Attributes:
        path: the inventory file or folder, absolute; also what Ansible is given.
        services: in the order of ``fogverse_services``.
        devices: every host that a service's pattern matches, in inventory order.
        hosts: by service name, the names of the devices its pattern matches.
        connections: by device name, how to reach it over SSH.
        kafka: the cluster.
        settings: ``fogverse_settings`` as written, for ``Settings.load``.
        known_hosts: file of the host keys that are trusted (``fogverse_known_hosts``); None when not set.
        netns: network namespace to enter before anything is contacted (``fogverse_netns``), None for none.
        limit: names of the hosts that the limit which it was read with means; None when it was read without one.
        unread: variables that begin with ``fogverse_``, that nobody reads, and that are like no name of ours.
    """

    path: Path
    services: tuple[Service, ...]
    devices: tuple[Device, ...]
    hosts: Mapping[str, tuple[str, ...]]
    connections: Mapping[str, Connection]
    kafka: KafkaSettings
    settings: Mapping[str, Any]
    known_hosts: Path | None = None
    netns: str | None = None
    limit: tuple[str, ...] | None = None
    unread: tuple[Problem, ...] = ()

    def slots_of(self, service: Service) -> dict[str, int]:
        """Slots of each device that may run ``service``."""
        names = self.hosts_of(service)
        return {device.name: device.slots for device in self.devices if device.name in names}

    def hosts_of(self, service: Service | str) -> tuple[str, ...]:
        """Names of the devices that may run ``service``, in inventory order."""
        return self.hosts[service if isinstance(service, str) else service.name]
