"""``orchestrator plan``: what a master would do now."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from orchestrator.broker import ledger
from orchestrator.cli.context import Options, open_context
from orchestrator.cli.run import build
from orchestrator.cli.tables import styled


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@click.pass_obj
def plan(options: Options, *, as_json: bool) -> None:
    """Say what a master would do now for every service, and why; do nothing.

    The window is filled from the broker's own history, and the devices are probed over SSH.
    """
    context = open_context(options)
    kafka, topic = context.inventory.kafka.client_options(), context.settings.ledger_topic
    planned = build(context).plan(ledger.read(kafka, topic), ledger.read_state(kafka, topic).values())
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "decision": p.decision.as_dict(),
                        "placement": None if p.placement is None else asdict(p.placement),
                        "growth": [asdict(g) for g in p.growth],
                        "stops": [str(instance) for instance in p.stops],
                    }
                    for p in planned
                ],
                default=str,
                indent=2,
            )
        )
        return
    console = Console(soft_wrap=True)
    for p in planned:
        decision = p.decision
        console.print(Text(f"{decision.service}: ") + styled(decision.kind) + Text(f": {decision.reason}"))
        if p.placement is not None:
            chosen = ", ".join(map(str, p.placement.chosen))
            target = f"would start {chosen}" if chosen else "would start nothing: no device fits"
            console.print(f"  {target} ({p.placement.explanation})")
        if p.stops:
            console.print(f"  would stop {', '.join(map(str, p.stops))}")
        for growth in p.growth:
            verb = f"would not grow: {growth.refused}" if growth.refused else f"would grow to {growth.after} partitions"
            console.print(f"  {growth.topic} ({growth.before} partitions) {verb}: {growth.reason}")
