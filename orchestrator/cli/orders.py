"""``orchestrator scale``, ``pause``, ``resume``: an operator's word against the policy's, until it expires."""

from __future__ import annotations

import getpass
import socket
import time
from typing import Literal

import click

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import Entry, Ledger
from orchestrator.broker.topics import create_topics
from orchestrator.cli.context import Context, Options, open_context, service_named
from orchestrator.cli.duration import Duration
from orchestrator.cli.tables import clock_time
from orchestrator.core.override import Override
from orchestrator.errors import BrokerUnreachable

_ACKNOWLEDGED_S = 10.0
_FOR = click.option(
    "--for", "for_s", type=Duration(), default="1h", show_default=True, help="When it ends by itself: 90s, 10m, 2h, 1d."
)


@click.command()
@click.argument("service")
@click.argument("instances", type=click.IntRange(0))
@_FOR
@click.pass_obj
def scale(options: Options, service: str, instances: int, for_s: float) -> None:
    """Hold SERVICE at a number of INSTANCES, whatever its policy says.

    The number must be within the service's limits in the inventory. What has to be started or drained for it is,
    with the same proofs as always.
    """
    context = open_context(options)
    found = service_named(context, service)
    if not found.min_instances <= instances <= found.max_instances:
        raise click.UsageError(
            f"{service} may have {found.min_instances} to {found.max_instances} instances, not {instances}: "
            "change min_instances or max_instances in the inventory first"
        )
    until = _order(context, service, "scale", for_s, instances)
    click.echo(f"{service}: {instances} instances until {clock_time(until)}; {who_follows(context)}")


@click.command()
@click.argument("service")
@_FOR
@click.pass_obj
def pause(options: Options, service: str, for_s: float) -> None:
    """Leave SERVICE as it is: nothing is started and nothing stopped, but all is observed and explained."""
    context = open_context(options)
    service_named(context, service)
    until = _order(context, service, "pause", for_s)
    click.echo(f"{service}: paused until {clock_time(until)}; {who_follows(context)}")


@click.command()
@click.argument("service")
@click.pass_obj
def resume(options: Options, service: str) -> None:
    """Take a `scale` or `pause` of SERVICE back: its policy decides again."""
    context = open_context(options)
    service_named(context, service)
    _order(context, service, "none", 0)
    click.echo(f"{service}: its policy decides again; {who_follows(context)}")


def _order(
    context: Context, service: str, kind: Literal["scale", "pause", "none"], for_s: float, instances: int | None = None
) -> float:
    """Write the order to the ledger; returns when it ends."""
    now = time.time()
    order = Override(kind, who(), now, now + for_s, instances)
    write(context, Entry("override", service, now, order.as_dict()))
    return order.until


def who() -> str:
    """Who gives an order, in words."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def write(context: Context, entry: Entry) -> None:
    """Write an order to the ledger, which is made when it is missing.

    Raises:
        BrokerUnreachable: it was not acknowledged.
    """
    cluster = Cluster(context.admin_options())
    try:
        create_topics(cluster, context.settings, ())
    finally:
        cluster.close()
    writer = Ledger(context.inventory.kafka.client_options(), context.settings.ledger_topic)
    writer.append(entry)
    left = writer.flush(_ACKNOWLEDGED_S)
    writer.close(0.1)
    if left:
        raise BrokerUnreachable(
            f"the order was not acknowledged within {_ACKNOWLEDGED_S:g} s: is {context.settings.ledger_topic} "
            "writable? look with: orchestrator check"
        )


def who_follows(context: Context) -> str:
    """Whether a master runs that follows an order, in words."""
    entries = ledger.read(context.inventory.kafka.client_options(), context.settings.ledger_topic)
    last = next((entry for entry in reversed(entries) if entry.kind == "master"), None)
    if last is not None and last.body.get("event") in ("started", "leads"):
        return f"the master on {last.body.get('host')} follows at its next tick"
    return "no master runs now: the next one follows it"
