"""``orchestrator check``: is everything there that a run needs?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import click

from orchestrator.checks.broker import check_broker
from orchestrator.checks.devices import device_lines
from orchestrator.checks.inventory import unread_lines
from orchestrator.checks.line import Line, counted
from orchestrator.checks.services import service_lines
from orchestrator.cli.context import Context, Options, open_context
from orchestrator.errors import EXIT_BROKER, EXIT_DEVICE, EXIT_OK, EXIT_REFUSED
from orchestrator.ssh.probe import probe

_COLOURS = {"ok": "green", "note": "cyan", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of lines.")
@click.pass_context
def check(ctx: click.Context, *, as_json: bool) -> None:
    """Look at the inventory, the broker, the topics and every device; change nothing.

    Each thing that is not well comes with what to do about it. Exit code: 0 nothing fails (warnings are shown),
    2 the inventory or a setting is wrong, 3 no broker answers, 4 a device cannot be reached or lacks something,
    5 the broker refuses access.
    """
    options: Options = ctx.obj
    context = open_context(options)
    lines = tuple(look(context))
    if as_json:
        click.echo(json.dumps({"lines": [dataclasses.asdict(line) for line in lines]}, indent=2))
    else:
        show(lines)
    ctx.exit(exit_code(lines))


def look(context: Context) -> Iterable[Line]:
    """Ask the broker and all devices at the same time."""
    inventory, settings = context.inventory, context.settings
    with ThreadPoolExecutor(1, thread_name_prefix="check") as thread:
        broker = thread.submit(check_broker, context.admin_options(), inventory.services, settings)
        probes = probe(inventory.connections.values(), inventory.known_hosts, settings.ssh_timeout)
        size = f"{counted(inventory.services, 'service')}, {counted(inventory.devices, 'device')}"
        yield Line("inventory", str(inventory.path), "ok", f"{size}; settings valid")
        yield from unread_lines(inventory)
        yield from service_lines(inventory)
        yield from broker.result()
    yield from device_lines(inventory, probes, context.project)


def show(lines: Sequence[Line]) -> None:
    """One line per thing, its mend below it."""
    width = max(len(line.name) for line in lines)
    for line in lines:
        state = click.style(f"{line.state:<5}", fg=_COLOURS[line.state])
        click.echo(f"{state} {line.kind:<9} {line.name:<{width}}  {line.text}")
        if line.mend:
            click.echo(f"{'':<16} {'':<{width}}  → {line.mend}")


def exit_code(lines: Iterable[Line]) -> int:
    """3 or 5 if the broker fails, else 4 if a device does, else 0."""
    failing = {line.kind: line for line in lines if line.state == "fail"}
    if "broker" in failing:
        return EXIT_REFUSED if failing["broker"].refused else EXIT_BROKER
    return EXIT_DEVICE if "device" in failing else EXIT_OK
