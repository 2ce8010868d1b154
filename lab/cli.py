"""``orchestrator lab``: simulated devices and a local broker from the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from lab import inventory as lab_inventory
from lab import netns
from lab.base import build
from lab.commands import require_root
from lab.emulation import MACHINES, own
from lab.errors import LabError
from lab.fleet import Lab
from lab.jars import collect
from lab.kafka_cli import kafka
from lab.options import PATH, LabGroup, at, folder_option, json_option
from lab.prepare import prepare_brokers
from orchestrator.project import PROJECT

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group(cls=LabGroup)
def lab() -> None:
    """Simulated fog devices and a local Kafka broker: try everything without owning a Pi.

    Devices are Debian systems with their own address, SSH server and systemd, in a network that packets
    cannot leave. They need root; a broker alone does not.
    """


lab.add_command(kafka)


def _device(command: _Command) -> _Command:
    """The argument NAME and the option --folder, which most commands have."""
    return click.argument("name")(folder_option(command))


@lab.command()
@click.option("--devices", type=click.IntRange(1, 240), default=3, show_default=True, help="How many.")
@click.option(
    "--cpu", type=click.IntRange(1), default=25, show_default=True, help="Percent of one core for each new device."
)
@click.option(
    "--architecture", type=click.Choice(sorted(MACHINES)), help="Of each new device; this machine's unless told."
)
@click.option(
    "--brokers",
    type=click.Choice(["0", "1", "3"]),
    help="Let Kafka run on this many devices kafka-1, ... of its own; 0: one broker without a device. "
    "As before unless told, at first 0.",
)
@click.option("--no-kafka", is_flag=True, help="Start no broker.")
@click.option(
    "--inventory", type=PATH, default=PROJECT / "inventory/lab", show_default="inventory/lab", help="Where to write it."
)
@folder_option
def up(
    devices: int,
    cpu: int,
    *,
    architecture: str | None,
    brokers: str | None,
    no_kafka: bool,
    inventory: Path,
    folder: Path,
) -> None:
    """Start devices pi-1, pi-2, ..., a broker or a cluster of brokers, and write their inventory.

    What runs already is kept; what is off, cut or frozen is brought back. The first time takes a minute,
    for packages and jars are collected then; for devices of an architecture that is emulated, some minutes.
    """
    require_root()
    jars = None if no_kafka else collect(folder / "jars", click.echo)
    place = Lab(folder, build(folder / "base", click.echo, architecture=architecture))
    there = [device.name for device in place.brokers()]
    wanted = len(there) if brokers is None else int(brokers)
    if there and wanted != len(there):
        raise LabError(f"Kafka runs on {', '.join(there)}, and its nodes are for ever: 'orchestrator lab down' first")
    if wanted and architecture not in {None, own()}:
        raise LabError(f"Kafka does not run on emulated {architecture} devices: leave out --brokers or --architecture")
    place.up(devices, cpu, brokers=wanted, say=click.echo)
    lab_inventory.write(inventory, place)
    click.echo(f"inventory {inventory} written")
    if jars is None:
        return
    if wanted:
        log = folder / "kafka.yml.log"
        hosts = ", ".join(device.name for device in place.brokers())
        click.echo(f"playbooks/kafka.yml lets Kafka run on {hosts}, output in {log}")
        prepare_brokers(inventory, log)
    else:
        place.broker(jars).up()
    click.echo(f"Kafka answers at {place.bootstrap}")


@lab.command()
@folder_option
def down(folder: Path) -> None:
    """Stop devices and broker and remove every trace of the lab outside its folder, also after a crash.

    The devices' disks are deleted; the broker's data is kept.
    """
    at(folder).down(click.echo)


@lab.command("ls")
@json_option
@folder_option
def list_devices(*, as_json: bool, folder: Path) -> None:
    """Show each device: name, address, state (on, off, cut, frozen), percent of one core."""
    devices = at(folder).devices()
    if as_json:
        click.echo(json.dumps([asdict(device) for device in devices]))
    elif not devices:
        click.echo("no devices: start some with 'orchestrator lab up'")
    for device in () if as_json else devices:
        click.echo(f"{device.name:8} {device.address:13} {device.state:7} {device.cpu or 'all'}")


@lab.command("power-off")
@_device
def power_off(name: str, folder: Path) -> None:
    """Pull the power of device NAME: no shutdown, its unsaved work is lost."""
    at(folder).power_off(name)


@lab.command("power-on")
@_device
def power_on(name: str, folder: Path) -> None:
    """Start device NAME and wait until it can be logged in to."""
    at(folder).power_on(name)


@lab.command()
@_device
def cut(name: str, folder: Path) -> None:
    """Pull the network cable of device NAME; it runs on."""
    at(folder).cut(name)


@lab.command()
@_device
def join(name: str, folder: Path) -> None:
    """Plug the network cable of device NAME in again."""
    at(folder).join(name)


@lab.command()
@_device
def freeze(name: str, folder: Path) -> None:
    """Let device NAME hang: it takes connections and never answers."""
    at(folder).freeze(name)


@lab.command()
@_device
def thaw(name: str, folder: Path) -> None:
    """Let the frozen device NAME go on."""
    at(folder).thaw(name)


@lab.command()
@click.argument("name")
@click.argument("percent", type=click.IntRange(1))
@folder_option
def cpu(name: str, percent: int, folder: Path) -> None:
    """Let device NAME use PERCENT of one processor core (200: two cores)."""
    at(folder).cpu(name, percent)


@lab.command(context_settings={"ignore_unknown_options": True})
@folder_option
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(name: str, command: tuple[str, ...], folder: Path) -> None:
    """Log in to device NAME as pi, or run COMMAND there. --folder comes first."""
    line = at(folder).ssh_command(name, *command)
    os.execv(line[0], line)  # noqa: S606 - no shell is wanted


@lab.command("exec", context_settings={"ignore_unknown_options": True})
@folder_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def execute(command: tuple[str, ...], folder: Path) -> None:
    """Run COMMAND inside the lab's network, where devices and broker are reached. --folder comes first."""
    require_root()
    netns.enter(at(folder).hub_netns)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as problem:
        raise LabError(f"{command[0]}: {problem.strerror}") from None
