"""``orchestrator status``: every service now."""

from __future__ import annotations

import json
import time

import click
from rich.console import Console
from rich.live import Live

from orchestrator.broker.cluster import Cluster
from orchestrator.cli.context import Options, open_context
from orchestrator.cli.tables import status_view
from orchestrator.status import collect


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
@click.pass_obj
def status(options: Options, *, as_json: bool, watch: bool) -> None:
    """Show rates, lag, instances with their partitions, and the last decision of every service.

    It is read from the broker on the spot: it works without a master, too, and says so.
    """
    context = open_context(options)
    cluster = Cluster(context.admin_options())
    try:
        if not watch:
            now = collect(context.inventory, context.settings, cluster, time.time())
            if as_json:
                click.echo(json.dumps(now.as_dict(), indent=2))
            else:
                Console().print(status_view(now))
            return
        with Live(console=Console(), auto_refresh=False) as live:
            while True:
                now = collect(context.inventory, context.settings, cluster, time.time())
                if as_json:
                    click.echo(json.dumps(now.as_dict()))
                else:
                    live.update(status_view(now), refresh=True)
                time.sleep(1)
    finally:
        cluster.close()
