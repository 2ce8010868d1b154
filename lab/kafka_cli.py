"""``orchestrator lab kafka``: the local broker from the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from lab.broker import LocalBroker
from lab.errors import LabError
from lab.fleet import Lab
from lab.jars import collect
from lab.options import LabGroup, at, folder_option, json_option

_PORT = 19092


@click.group(cls=LabGroup)
def kafka() -> None:
    """A real Apache Kafka broker on this machine (Java, no root).

    Inside the devices' network when devices are up, else on 127.0.0.1. It makes no topics by itself.
    """


@kafka.command()
@click.option("--port", type=click.IntRange(1024, 65534), help=f"{_PORT} unless told; the next one is used as well.")
@folder_option
def up(port: int | None, folder: Path) -> None:
    """Start the broker and wait until it answers; data of an earlier run is used again."""
    jars = collect(folder / "jars", click.echo)
    broker = _broker(at(folder), jars, port)
    broker.up()
    click.echo(f"broker {broker.bootstrap} answers{_where(broker.netns)}, log {broker.log}")


@kafka.command()
@click.option("--purge", is_flag=True, help="Delete all topics and data as well.")
@folder_option
def down(*, purge: bool, folder: Path) -> None:
    """Stop the broker; its data is kept unless it is purged."""
    broker = _broker(at(folder), folder / "jars", None)
    if purge:
        broker.purge()
    else:
        broker.down()


@kafka.command()
@json_option
@folder_option
def status(*, as_json: bool, folder: Path) -> None:
    """Show whether the broker runs and where it listens."""
    found = _broker(at(folder), folder / "jars", None).status()
    if as_json:
        click.echo(json.dumps({**asdict(found), "log": str(found.log)}))
    elif found.state == "running":
        click.echo(f"running: {found.bootstrap}{_where(found.netns)}, process {found.pid}, log {found.log}")
    elif found.state == "stale":
        click.echo(f"died, see {found.log}; 'orchestrator lab kafka up' starts it again")
    else:
        click.echo("stopped")


def _broker(lab: Lab, jars: Path, port: int | None) -> LocalBroker:
    if names := [device.name for device in lab.brokers()]:
        raise LabError(
            f"Kafka runs on devices of this lab, {', '.join(names)}: see 'orchestrator lab ls', "
            f"'orchestrator lab ssh {names[0]} systemctl status kafka', 'orchestrator lab power-off {names[0]}'"
        )
    if port is None and lab.is_up():
        return lab.broker(jars)
    return LocalBroker(lab.folder.absolute() / "kafka", jars, port=port or _PORT)


def _where(netns: str | None) -> str:
    return f" inside {netns}" if netns else ""
