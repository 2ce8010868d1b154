"""``orchestrator status``: every service now."""

from __future__ import annotations

import json
import time

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.cli.context import Context, Options, open_context
from orchestrator.cli.tables import clock_time, status_view
from orchestrator.core.mark import Mark
from orchestrator.errors import BrokerUnreachable
from orchestrator.status import collect

#: Between two readings of the orders for devices while watching: the ledger's state may be long.
_MARKS_S = 10.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
@click.pass_obj
def status(options: Options, *, as_json: bool, watch: bool) -> None:
    """Show rates, lag, instances with their partitions, and the last decision of every service.

    It is read from the broker on the spot: it works without a master, too, and says so. Watching goes on when the
    broker is away.
    """
    context = open_context(options)
    cluster = Cluster(context.admin_options())
    try:
        if watch:
            _watch(context, cluster, as_json=as_json)
            return
        now = collect(context.inventory, context.settings, cluster, time.time(), _marks(context))
        if as_json:
            click.echo(json.dumps(now.as_dict(), indent=2))
        else:
            Console().print(status_view(now))
    finally:
        cluster.close()


def _watch(context: Context, cluster: Cluster, *, as_json: bool) -> None:
    with Live(console=Console(), auto_refresh=False) as live:
        marks, read_at = tuple[Mark, ...](), float("-inf")
        while True:
            view: RenderableType
            try:
                if time.monotonic() - read_at > _MARKS_S:
                    marks, read_at = _marks(context), time.monotonic()
                now = collect(context.inventory, context.settings, cluster, time.time(), marks)
                line, view = now.as_dict(), status_view(now)
            except BrokerUnreachable as error:  # whoever watches wants to see it come back
                line, view = {"error": str(error)}, Text(f"{clock_time(time.time())}  {error}", style="red")
            if as_json:
                click.echo(json.dumps(line))
            else:
                live.update(view, refresh=True)
            time.sleep(1)


def _marks(context: Context) -> tuple[Mark, ...]:
    kafka = context.inventory.kafka.client_options()
    return tuple(ledger.marks(kafka, context.settings.ledger_topic, time.time()).values())
