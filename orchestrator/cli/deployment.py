"""``orchestrator deploy``, ``drain``, ``upgrade``: the playbooks, with a line per device and not Ansible's output."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.act.run import PlaybookRun
from orchestrator.broker.lead import advice
from orchestrator.cli.conduct import Operation, conduct
from orchestrator.cli.context import Context, Options, enter_namespace, read_context, service_named
from orchestrator.cli.duration import Duration
from orchestrator.core.outcome import DRAINED, STARTED, UPGRADED
from orchestrator.core.service import Service
from orchestrator.errors import OrchestratorError

#: How much longer it may take to prepare devices from nothing than to start an instance.
PREPARING = 5
_QUARTER = 4

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class How:
    """The options that all three have.

    Attributes:
        limit: a pattern of hosts; None for all that may run the service.
        check: whether it is a dry run.
        deadline: seconds for the whole; None for what is usual.
        log: file of the whole output; None for one of its own.
        as_json: whether the summary is a JSON object.
    """

    limit: str | None
    check: bool
    deadline: float | None
    log: Path | None
    as_json: bool


class Slot(click.ParamType[str]):
    """A slot's number, or ``all``."""

    name = "slot"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it was written, if it means a slot."""
        text = str(value)
        if text != "all" and not (text.isdecimal() and int(text) > 0):
            self.fail(f"{text!r} is no slot: a number from 1, or all", param, ctx)
        return text


def _shared(command: Command) -> Command:
    """The options of ``How``."""
    options = (
        click.option(
            "-l", "--limit", "--on", "limit", metavar="HOSTS", help="Only these: names, or Ansible's pattern."
        ),
        click.option("--check", is_flag=True, help="A dry run: say what would be done, change nothing."),
        click.option("--deadline", type=Duration(), help="Most that the whole may take: 90s, 10m."),
        click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="File for the whole output."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a summary."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("service", required=False)
@click.option("--slot", type=click.IntRange(1), help="Slot of each device.  [default: 1]")
@_shared
@click.pass_obj
def deploy(options: Options, /, service: str | None, slot: int | None, **how: Any) -> int:
    """Start an instance of SERVICE on every device that -l names; without a SERVICE prepare the devices.

    A device that was never prepared, or has an older release, is prepared first. Each start is proved: the process is a
    member of its consumer group. Never more instances than the service's max_instances are asked for.

    Without a SERVICE (playbooks/site.yml) devices get user, folders, runtime and the release of each service that may
    run there. Nothing new is started; instances that run something older are restarted.
    """
    asked = How(**how)
    context = read_context(options, limit=asked.limit)
    if service is None:
        if slot is not None:
            raise click.UsageError("--slot needs a SERVICE")
        hosts = _hosts(context, None, asked.limit)
        run = PlaybookRun("site.yml", context.inventory.path, ",".join(hosts), {}, asked.check, followed=True)
        return conduct(
            context,
            Operation("deploy", run, hosts, _deadline(context, asked, PREPARING)),
            asked.log,
            as_json=asked.as_json,
        )
    found = service_named(context, service)
    _require_room(context, found, _hosts(context, found, asked.limit), slot or 1)
    return _conduct(context, asked, found, "deploy", {"slot": slot or 1}, STARTED)


@click.command()
@click.argument("service")
@click.option("--slot", type=Slot(), default="all", show_default=True, help="Slot of each device, or all.")
@_shared
@click.pass_obj
def drain(options: Options, /, service: str, slot: str, **how: Any) -> int:
    """Stop the instances of SERVICE in order: they finish what they have begun, commit and leave their group.

    A device that cannot be reached is named, and fails nothing for the others.
    """
    asked = How(**how)
    context = read_context(options, limit=asked.limit)
    found = service_named(context, service)
    return _conduct(context, asked, found, "drain", {"slot": slot if slot == "all" else int(slot)}, DRAINED)


@click.command()
@click.argument("service")
@_shared
@click.pass_obj
def upgrade(options: Options, /, service: str, **how: Any) -> int:
    """Bring the release of SERVICE in the inventory to its devices, one first, then a quarter of them at a time.

    Each device drains, switches and starts again, and goes back to its old release by itself if the new one does not
    work; then the others are left as they are.
    """
    asked = How(**how)
    context = read_context(options, limit=asked.limit)
    return _conduct(context, asked, service_named(context, service), "upgrade", {}, UPGRADED)


def batches(hosts: int) -> int:
    """How many batches of ``serial: [1, "25%"]`` that many hosts make; a share is rounded down, to one at least."""
    return 1 + math.ceil((hosts - 1) / max(1, hosts // _QUARTER))


def _conduct(context: Context, asked: How, service: Service, verb: str, variables: dict[str, Any], last: str) -> int:
    """Run the playbook that has the verb's name; returns the exit code."""
    hosts = _hosts(context, service, asked.limit)
    request = PlaybookRun(
        f"{verb}.yml",
        context.inventory.path,
        ",".join(hosts),
        {"service": service.name, **variables},
        asked.check,
        followed=True,
    )
    quiet = asked.check or verb == "upgrade"
    operation = Operation(
        title=f"{verb} {service.name}",
        request=request,
        hosts=hosts,
        deadline_s=_deadline(context, asked, batches(len(hosts)) if verb == "upgrade" else 1),
        last=last,
        note=lambda: "" if quiet else _advice(context, service.name, stopped=verb == "drain"),
    )
    return conduct(context, operation, asked.log, as_json=asked.as_json)


def _advice(context: Context, service: str, *, stopped: bool) -> str:
    """What the master will make of it; asked in a thread of its own, which is all that enters the namespace."""
    try:
        if context.inventory.netns:
            enter_namespace(context.inventory.netns)
        return advice(context.admin_options(), context.settings.ledger_topic, service, stopped=stopped)
    except OrchestratorError as error:
        return f"whether a master runs that has its own mind about {service} is unknown: {error}"


def _deadline(context: Context, asked: How, times: int) -> float:
    return asked.deadline or times * context.settings.deploy_deadline


def _hosts(context: Context, service: Service | None, limit: str | None) -> tuple[str, ...]:
    """Devices that are meant, in inventory order.

    Raises:
        click.UsageError: there is none.
    """
    inventory = context.inventory
    may = tuple(d.name for d in inventory.devices) if service is None else inventory.hosts_of(service)
    hosts = may if inventory.limit is None else tuple(name for name in may if name in inventory.limit)
    if not hosts:
        whose = "a device of any service" if service is None else f"a device that may run {service.name}"
        raise click.UsageError(f"-l {limit} does not mean {whose}; there are: {', '.join(may) or 'none'}")
    return hosts


def _require_room(context: Context, service: Service, hosts: tuple[str, ...], slot: int) -> None:
    """Refuse slots that a device does not have, and more instances than the service may have.

    Raises:
        click.UsageError: with the mend.
    """
    slots = context.inventory.slots_of(service)
    if few := [f"{name} has {slots[name]}" for name in hosts if slots[name] < slot]:
        raise click.UsageError(f"no slot {slot} on every device: {', '.join(few)}; raise fogverse_slots of the host")
    if len(hosts) > service.max_instances:
        raise click.UsageError(
            f"{service.name} may have {service.max_instances} instances (max_instances), and this would start one on "
            f"each of {len(hosts)} devices: name those that you mean with -l, or raise max_instances"
        )
