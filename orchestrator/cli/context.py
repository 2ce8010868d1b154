"""What every command needs: the inventory and the settings, read once, and the right network namespace."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from orchestrator import netns
from orchestrator.core.service import Service
from orchestrator.errors import NamespaceMissing
from orchestrator.inventory import Inventory, read
from orchestrator.project import PROJECT
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

#: Environment variable that names the inventory.
INVENTORY_VARIABLE = "FOGVERSE_INVENTORY"

_LAB, _EXAMPLE = "lab", "example"


@dataclass(frozen=True, slots=True)
class Options:
    """The options shared by all commands: the object of click's context.

    Attributes:
        inventory: ``--inventory`` or its environment variable; None leaves the choice to ``find_inventory``.
    """

    inventory: Path | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """The inventory and the settings of one command.

    Attributes:
        project: folder of playbooks and roles.
        inventory: what the user wrote.
        settings: the inventory's settings and the environment's, which win.
    """

    project: Path
    inventory: Inventory
    settings: Settings

    def admin_options(self) -> dict[str, Any]:
        """Keyword arguments of kafka-python's clients for administration; holds passwords."""
        return self._options(self.settings.kafka_admin_host)

    def observer_options(self) -> dict[str, Any]:
        """Keyword arguments of kafka-python's clients for the observer topic; holds passwords."""
        return self._options(self.settings.observer_consumer_servers)

    def _options(self, servers: tuple[str, ...] | None) -> dict[str, Any]:
        options = self.inventory.kafka.client_options()
        return {**options, "bootstrap_servers": list(servers)} if servers else options


def open_context(options: Options, environ: Mapping[str, str] = os.environ) -> Context:
    """Read and validate everything, and enter the inventory's network namespace if it names one.

    The calling thread stays in the namespace, and the threads and processes it starts from now on are in it.

    Raises:
        InventoryInvalid: the inventory or a setting is wrong.
        NamespaceMissing: the namespace is not there.
        click.UsageError: no inventory was named and there is not exactly one to choose.
    """
    context = read_context(options, environ)
    if context.inventory.netns:
        enter_namespace(context.inventory.netns)
    return context


def read_context(options: Options, environ: Mapping[str, str] = os.environ, limit: str | None = None) -> Context:
    """Read and validate everything, and stay where this process is: Ansible enters the network namespace by itself.

    Args:
        options: of the command line.
        environ: environment variables.
        limit: a pattern of hosts, as for ``ansible-playbook -l``; the inventory says what it means.

    Raises:
        InventoryInvalid: the inventory or a setting is wrong.
        click.UsageError: no inventory was named and there is not exactly one to choose.
    """
    path = options.inventory or find_inventory(PROJECT / "inventory")
    inventory = read(path, PROJECT, environ, limit)
    settings, notices = Settings.load(inventory.settings, environ)
    for notice in notices:
        log.warning("%s", notice)
    return Context(PROJECT, inventory, settings)


def service_named(context: Context, name: str) -> Service:
    """The service of the inventory.

    Raises:
        click.UsageError: there is none of that name; it lists those there are.
    """
    found = {service.name: service for service in context.inventory.services}
    if name not in found:
        raise click.UsageError(f"no service {name!r} in the inventory; there are: {', '.join(found)}")
    return found[name]


def enter_namespace(name: str) -> None:
    """Enter a network namespace for good, or say what to do.

    Raises:
        NamespaceMissing: it does not exist, or entering it is not allowed.
    """
    try:
        netns.enter(name)
    except FileNotFoundError:
        raise NamespaceMissing(
            f"the network namespace {name} of the inventory (fogverse_netns) is not there: the lab is down; "
            "start it with: orchestrator lab up"
        ) from None
    except PermissionError:
        raise NamespaceMissing(
            f"entering the network namespace {name} of the inventory (fogverse_netns) needs root"
        ) from None


def find_inventory(folder: Path) -> Path:
    """The inventory to use when none is named: the lab's, else the user's only one.

    Raises:
        click.UsageError: when there is none, or more than one; it says how to name one.
    """
    if (folder / _LAB).is_dir():
        return folder / _LAB
    own = sorted(path for path in folder.glob("*/") if path.name != _EXAMPLE and not path.name.startswith("."))
    if len(own) == 1:
        return own[0]
    how = f"name one with -i PATH or in {INVENTORY_VARIABLE}"
    if own:
        names = ", ".join(path.name for path in own)
        raise click.UsageError(f"there are several inventories in {folder} ({names}): {how}")
    raise click.UsageError(
        f"there is no inventory yet: copy {folder / _EXAMPLE} to {folder}/NAME and edit it, or start simulated "
        f"devices with: orchestrator lab up; or {how}"
    )
