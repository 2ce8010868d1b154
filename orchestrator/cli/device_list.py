"""``orchestrator device list``: every device with two signals that are never mixed, SSH and its instances' groups."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import click
from kafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.look import Look
from orchestrator.cli.context import Context, Options, open_context
from orchestrator.cli.tables import mark_words, number
from orchestrator.core.device import Device
from orchestrator.core.fleet import Group
from orchestrator.core.instance import Instance
from orchestrator.core.mark import Mark
from orchestrator.errors import BrokerUnreachable
from orchestrator.inventory import Inventory
from orchestrator.ssh.probe import Probe, probe


@dataclass(frozen=True, slots=True)
class Seen:
    """One instance as its device and its group show it; each may know of it without the other.

    Attributes:
        name: of the instance.
        unit: systemd's ActiveState and SubState; None when the device did not answer or has no such unit.
        group: ``member``, ``no member`` or ``unknown``.
        partitions: how many it owns; None when unknown.
    """

    name: str
    unit: str | None
    group: str
    partitions: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One device.

    Attributes:
        name: in the inventory.
        address: what SSH connects to.
        slots: instances that it may run.
        ssh: ``ok``, or why it did not answer.
        elapsed_s: how long asking took.
        model: what the board calls itself, else its architecture; None when unknown.
        load: mean of the last minute.
        memory_mb: free.
        disk_mb: free.
        temperature_c: of the hottest sensor.
        instances: what runs there, by either signal.
        order: what an operator has ordered for it, in words; None when nothing is in force.
    """

    name: str
    address: str
    slots: int
    ssh: str
    elapsed_s: float
    model: str | None
    load: float | None
    memory_mb: int | None
    disk_mb: int | None
    temperature_c: float | None
    instances: tuple[Seen, ...]
    order: str | None = None


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
@click.pass_obj
def list_devices(options: Options, *, as_json: bool) -> None:
    """List every device: does SSH get through, and are its instances members of their groups?

    The two are separate: a device can work on messages while SSH does not get through, and answer while its instances
    do nothing.
    """
    context = open_context(options)
    with ThreadPoolExecutor(1, thread_name_prefix="groups") as thread:
        groups, orders = thread.submit(_groups, context), thread.submit(_orders, context)
        inventory = context.inventory
        probes = probe(inventory.connections.values(), inventory.known_hosts, context.settings.ssh_timeout)
        look, away = groups.result()
    found = rows(inventory, probes, None if look is None else look.groups, orders.result())
    if as_json:
        click.echo(json.dumps([asdict(row) for row in found], indent=2))
    else:
        Console(soft_wrap=True).print(_table(found))
    if away:
        click.echo(f"groups are unknown: {away}", err=True)


def rows(
    inventory: Inventory,
    probes: Mapping[str, Probe],
    groups: Mapping[str, Group] | None,
    orders: Mapping[str, Mark] | None = None,
) -> list[Row]:
    """Put both signals together.

    Args:
        inventory: the fleet.
        probes: what the devices said over SSH, by name.
        groups: consumer groups by id; None when they could not be read.
        orders: of operators, by device.
    """
    found = orders or {}
    return [
        _row(inventory, device, probes[device.name], groups, found.get(device.name)) for device in inventory.devices
    ]


def _row(
    inventory: Inventory, device: Device, probed: Probe, groups: Mapping[str, Group] | None, order: Mark | None
) -> Row:
    units = {unit.instance: f"{unit.active_state} ({unit.sub_state})" for unit in probed.units}
    members: dict[str, int] = {}
    for service in inventory.services:
        group = None if groups is None else groups.get(service.group_id)
        for member in group.members if group is not None else ():
            instance = Instance.parse(member.client_id)
            if instance is not None and instance.device == device.name:
                members[member.client_id] = sum(len(owned) for owned in member.partitions.values())
    seen = [
        Seen(
            name,
            units.get(name),
            "unknown" if groups is None else "member" if name in members else "no member",
            members.get(name),
        )
        for name in sorted({*units, *members})
    ]
    return Row(
        name=device.name,
        address=device.address,
        slots=device.slots,
        ssh="ok" if probed.reachable else probed.reason,
        elapsed_s=round(probed.elapsed_s, 3),
        model=probed.model or probed.arch,
        load=probed.load,
        memory_mb=probed.mem_available_mb,
        disk_mb=probed.disk_free_mb,
        temperature_c=probed.temperature_c,
        instances=tuple(seen),
        order=None if order is None else mark_words(order),
    )


def _groups(context: Context) -> tuple[Look | None, str]:
    cluster = Cluster(context.admin_options())
    try:
        return cluster.look(time.time(), (), {s.group_id for s in context.inventory.services}), ""
    except (BrokerUnreachable, KafkaError) as error:  # what SSH says is worth showing all the same
        return None, str(error)
    finally:
        cluster.close()


def _orders(context: Context) -> dict[str, Mark]:
    try:
        return ledger.marks(context.inventory.kafka.client_options(), context.settings.ledger_topic, time.time())
    except BrokerUnreachable:  # said once, for the groups
        return {}


def _table(found: Sequence[Row]) -> Table:
    table = Table(show_edge=False)
    for name in ("device", "SSH", "model", "load", "free memory", "free disk", "°C", "instances: unit, group"):
        table.add_column(name, justify="left" if name in ("device", "SSH", "model") or ":" in name else "right")
    for row in found:
        ssh = Text(f"ok, {row.elapsed_s:.1f} s", "green") if row.ssh == "ok" else Text(row.ssh, "red")
        table.add_row(
            f"{row.name} ({len(row.instances)}/{row.slots})",
            ssh,
            row.model or "?",
            number(row.load, 2),
            f"{number(row.memory_mb)} MB",
            f"{number(row.disk_mb)} MB",
            number(row.temperature_c),
            Text("\n").join(
                [*([] if row.order is None else [Text(row.order, "yellow")]), *map(_instance, row.instances)]
            )
            or Text("none"),
        )
    return table


def _instance(seen: Seen) -> Text:
    unit = "unit unknown" if seen.unit is None else seen.unit
    group = seen.group if seen.partitions is None else f"{seen.group} with {seen.partitions} partitions"
    well = (seen.unit or "").startswith("active") and seen.group == "member"
    return Text(f"{seen.name}: {unit}, {group}", "" if well else "yellow")
