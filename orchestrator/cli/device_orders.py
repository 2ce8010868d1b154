"""``orchestrator device drain``, ``quarantine``, ``restore``: an operator's word about a device."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal

import click

from orchestrator.act.actuator import Actuator, OnEvent
from orchestrator.act.clear import Cleared, clear, members
from orchestrator.act.evict import MEANING
from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import Entry
from orchestrator.cli.context import Context, Options, open_context, service_named
from orchestrator.cli.duration import Duration
from orchestrator.cli.orders import who, who_follows, write
from orchestrator.cli.tables import mark_words
from orchestrator.clock import SystemClock
from orchestrator.core.instance import Instance
from orchestrator.core.mark import Mark
from orchestrator.core.service import Service
from orchestrator.errors import DeviceFailed
from orchestrator.ssh.probe import Probe, probe


@click.command()
@click.argument("name")
@click.option("--service", "only", help="Only this service; else everything on the device.")
@click.option("--force", is_flag=True, help="Of a device that is gone: end its memberships, and say what that means.")
@click.option(
    "--for", "for_s", type=Duration(), help="When it may be used again by itself; else with `device restore`."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@click.pass_obj
def drain(options: Options, name: str, only: str | None, for_s: float | None, *, force: bool, as_json: bool) -> None:
    """Stop everything on device NAME in order, and place nothing there until `device restore`.

    Its instances stop fetching, finish what they have in hand, commit and leave their groups. A master that runs starts
    others elsewhere where they are needed, and drains the device again when something comes back on it.
    """
    context = open_context(options)
    _known(context, name)
    service = None if only is None else service_named(context, only)
    mark = _mark(context, "drain", name, for_s, service)
    _say(as_json=as_json, words=f"{mark_words(mark)}; {who_follows(context)}")
    inventory, settings = context.inventory, context.settings
    probed = probe([inventory.connections[name]], inventory.known_hosts, settings.ssh_timeout)[name]
    cluster = Cluster(context.admin_options())
    try:
        wanted = [s for s in inventory.services if name in inventory.hosts_of(s) and service in (None, s)]
        running = _running(name, wanted, probed, cluster)
        if not probed.reachable and not force:
            held = ", ".join(sorted(instance for _, names in running for instance in names)) or "nothing"
            raise DeviceFailed(
                f"{name} does not answer ({probed.reason}): nothing was stopped; by the groups it has {held}. A master "
                f"drains it when it comes back. If it is gone: orchestrator device drain {name} --force"
            )
        actuator = Actuator(SystemClock(), settings.deploy_deadline)
        done = clear(
            name,
            running,
            actuator,
            cluster,
            inventory.path,
            threading.Event(),
            unreachable=probed.reason,
            force=force,
            began=_began(name),
        )
    finally:
        cluster.close()
    if as_json:
        cleared = [
            {"service": c.service, "outcome": c.outcome, "instances": c.instances, "reason": c.reason} for c in done
        ]
        click.echo(json.dumps({"mark": mark.as_dict(), "cleared": cleared}, indent=2))
    else:
        nothing = f"nothing of ours runs on {name}"
        if not probed.reachable:
            nothing = f"{name} does not answer and is in no group: what starts there when it is back, a master drains"
        for line in [words(one) for one in done] or [nothing]:
            click.echo(line)
    if failed := [one for one in done if one.outcome == "failed"]:
        raise DeviceFailed(f"{name} is not drained of {', '.join(one.service for one in failed)}")


@click.command()
@click.argument("name")
@click.option(
    "--for", "for_s", type=Duration(), default="1h", show_default=True, help="When it ends by itself: 90s, 10m, 2h, 1d."
)
@click.pass_obj
def quarantine(options: Options, name: str, for_s: float) -> None:
    """Start nothing new on device NAME; what runs there goes on."""
    context = open_context(options)
    _known(context, name)
    click.echo(f"{mark_words(_mark(context, 'quarantine', name, for_s, None))}; {who_follows(context)}")


@click.command()
@click.argument("name")
@click.pass_obj
def restore(options: Options, name: str) -> None:
    """Use device NAME again: take a `drain` or a quarantine back, a master's own one, too.

    Nothing is started for it; the next decision that needs a device may choose it.
    """
    context = open_context(options)
    _known(context, name)
    _mark(context, "none", name, None, None)
    click.echo(f"{name}: may be used again; {who_follows(context)}")


def words(one: Cleared) -> str:
    """What became of a service on a device, in a sentence."""
    names = ", ".join(one.instances)
    if one.outcome == "drained":
        return f"{names}: drained: finished, committed, left"
    if one.outcome == "evicted":
        return f"{names}: taken out of the group by force ({one.reason}): {MEANING}"
    return f"{names}: not drained: {one.reason}; with --force its memberships are ended all the same"


def _running(name: str, services: list[Service], probed: Probe, cluster: Cluster) -> list[tuple[Service, set[str]]]:
    """The services that have instances on the device by its units or by the groups, and which."""
    units = [instance for unit in probed.units if (instance := Instance.parse(unit.instance)) is not None]
    found = [
        (service, {*members(name, service, cluster), *(str(i) for i in units if i.service == service.name)})
        for service in services
    ]
    return [(service, names) for service, names in found if names]


def _mark(
    context: Context,
    kind: Literal["drain", "quarantine", "none"],
    device: str,
    for_s: float | None,
    service: Service | None,
) -> Mark:
    """Write the order to the ledger; services that are drained one after the other add up."""
    now = time.time()
    before = ledger.marks(context.inventory.kafka.client_options(), context.settings.ledger_topic, now).get(device)
    services: tuple[str, ...] = () if service is None else (service.name,)
    if service is not None and before is not None and before.kind == "drain":
        services = tuple(sorted({*before.services, service.name})) if before.services else ()
    mark = Mark(kind, device, who(), now, None if for_s is None else now + for_s, services)
    write(context, Entry("device", "", now, mark.as_dict(), device=device))
    return mark


def _known(context: Context, name: str) -> None:
    if name not in context.inventory.connections:
        raise click.UsageError(f"no device {name!r}; the inventory has: {', '.join(context.inventory.connections)}")


def _began(device: str) -> Any:
    def began(service: Service) -> OnEvent:
        click.echo(f"{device}: {service.name} is being drained", err=True)

        def heard(event: Mapping[str, Any]) -> None:
            if event.get("event") == "unreachable":
                click.echo(f"{device}: {event.get('reason')}", err=True)

        return heard

    return began


def _say(*, as_json: bool, words: str) -> None:
    click.echo(words, err=as_json)
