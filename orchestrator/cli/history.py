"""``orchestrator history``: decisions, steps and outcomes, from the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console

from orchestrator.broker import ledger
from orchestrator.cli.context import Options, open_context, service_named
from orchestrator.cli.tables import history_line


@click.command()
@click.argument("service", required=False)
@click.option(
    "--last", type=click.IntRange(1), default=50, show_default=True, help="How many entries to show at the most."
)
@click.option("--changes", is_flag=True, help="Leave out decisions that changed nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def history(options: Options, service: str | None, last: int, *, changes: bool, as_json: bool) -> None:
    """List what was decided and done, oldest first, for SERVICE or for all."""
    context = open_context(options)
    if service is not None:
        service_named(context, service)
    entries = ledger.read(context.inventory.kafka.client_options(), context.settings.ledger_topic)
    chosen = [
        entry
        for entry in entries
        if (service is None or entry.service in (service, ""))
        and not (changes and entry.kind == "decision" and entry.body.get("direction") == "none")
    ]
    console = Console(soft_wrap=True)
    for entry in chosen[-last:]:
        if as_json:
            click.echo(json.dumps(asdict(entry)))
        else:
            console.print(history_line(entry.kind, entry.service, entry.at, entry.body))
    if not chosen and not as_json:
        click.echo("nothing yet: no master has decided anything", err=True)
