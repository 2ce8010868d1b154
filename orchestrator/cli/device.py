"""``orchestrator device``: what concerns one device."""

from __future__ import annotations

import click

from orchestrator.cli.context import Options, open_context
from orchestrator.cli.device_list import list_devices
from orchestrator.cli.device_logs import logs
from orchestrator.cli.device_orders import drain, quarantine, restore
from orchestrator.errors import DeviceFailed
from orchestrator.ssh.hostkeys import show, trust
from orchestrator.ssh.reasons import changed
from orchestrator.ssh.session import known_hosts_file


@click.group()
def device() -> None:
    """Devices of the fleet."""


@device.command()
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All devices of the inventory.")
@click.option("--yes", is_flag=True, help="Trust without asking; only in a network where nobody can be in between.")
@click.pass_obj
def enroll(options: Options, names: tuple[str, ...], *, every: bool, yes: bool) -> None:
    """Show the host key of devices and trust it from now on.

    Compare the fingerprint with what the device itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    The keys are kept in the inventory's fogverse_known_hosts, which Ansible and the orchestrator both obey.
    """
    context = open_context(options)
    inventory = context.inventory
    chosen = tuple(inventory.connections) if every else names
    if unknown := [name for name in chosen if name not in inventory.connections]:
        known = ", ".join(inventory.connections)
        raise click.UsageError(f"no such device: {', '.join(unknown)}; the inventory has: {known}")
    if not chosen:
        raise click.UsageError("name devices, or use --all")
    known_hosts = known_hosts_file(inventory.known_hosts)
    failures = []
    for name in chosen:
        connection = inventory.connections[name]
        if connection.local:
            click.echo(f"{name}: is this machine itself, no key needed")
            continue
        try:
            key = show(connection, known_hosts, context.settings.ssh_timeout)
        except DeviceFailed as error:  # the others can be enrolled nevertheless
            failures.append(str(error))
            continue
        where = f"{name} ({connection.host}:{connection.port}) {key.kind} {key.fingerprint}"
        if key.state == "changed":
            failures.append(f"{name}: {changed(connection, known_hosts, key.fingerprint)}")
        elif key.state == "known":
            click.echo(f"{where}: known already")
        elif yes or click.confirm(f"{where}: trust it?"):
            trust(key, known_hosts)
            click.echo(f"{name}: added to {known_hosts}")
    if failures:
        raise DeviceFailed("\n".join(failures))


device.add_command(list_devices)
device.add_command(logs)
for command in (drain, quarantine, restore):
    device.add_command(command)
