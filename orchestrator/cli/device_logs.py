"""``orchestrator device logs``: the journal of a device's instances, over SSH."""

from __future__ import annotations

import click

from orchestrator.cli.context import Options, open_context, service_named
from orchestrator.cli.tables import printable
from orchestrator.errors import DeviceFailed
from orchestrator.ssh.ask import ask

_SCRIPT = """
export LC_ALL=C.UTF-8
ask=; [ "$(id -u)" = 0 ] || ask='sudo -n'
$ask journalctl --quiet --no-pager --output=short-iso --lines={lines} --unit='{unit}' 2>&1
"""


@click.command()
@click.argument("device")
@click.argument("service", required=False)
@click.option("--lines", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, the newest.")
@click.pass_obj
def logs(options: Options, device: str, service: str | None, lines: int) -> None:
    """Show what the instances on DEVICE have logged, of SERVICE or of all, oldest first."""
    context = open_context(options)
    inventory = context.inventory
    if device not in inventory.connections:
        raise click.UsageError(f"no device {device!r}; the inventory has: {', '.join(inventory.connections)}")
    if service is not None:
        service_named(context, service)
    script = _SCRIPT.format(lines=lines, unit=f"fogverse-{service or '*'}@*.service")
    asked = ask([(inventory.connections[device], script)], inventory.known_hosts, context.settings.ssh_timeout)
    answer = asked[device].answer
    if answer.output is None:
        raise DeviceFailed(f"{device}: {answer.reason}")
    for line in answer.output.splitlines():
        click.echo(printable(line))
    if not answer.output.strip():
        click.echo(f"{device}: nothing logged by {service or 'any service'}", err=True)
