"""``orchestrator observer``: what is on the observer topic, and what was refused."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import click

from orchestrator.broker.tail import tail
from orchestrator.cli.context import Options, open_context
from orchestrator.cli.tables import clock_time
from orchestrator.core.tally import Tally


@click.command()
@click.option("--rejected", is_flag=True, help="Show the newest refused messages, with the reason.")
@click.option(
    "--since",
    type=click.FloatRange(1, 604_800),
    default=300.0,
    show_default=True,
    help="How far to look back, in seconds.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def observer(options: Options, since: float, *, rejected: bool, as_json: bool) -> None:
    """Count the messages on the observer topic by shape, and show those that were refused."""
    context = open_context(options)
    topic = context.settings.observer_consumer_topic
    tally = Tally()
    for record in tail(context.observer_options(), topic, since=time.time() - since, most=100_000):
        tally.add(record.value, record.timestamp / 1000, record.partition, record.offset)
    if as_json:
        samples = [asdict(sample) for sample in tally.samples]
        counts = {"accepted": dict(tally.accepted), "rejected": tally.rejected}
        click.echo(json.dumps({**counts, "instances": sorted(tally.reports), "samples": samples}, indent=2))
        return
    shapes = ", ".join(f"{count} {shape}" for shape, count in sorted(tally.accepted.items())) or "none"
    click.echo(f"{topic}, last {since:g} s: {shapes}; {tally.rejected} refused; {len(tally.reports)} instances report")
    for sample in tally.samples if rejected else ():
        where = f"{topic}[{sample.partition}]@{sample.offset}"
        click.echo(f"{clock_time(sample.at)} {where}: {sample.reason}: {sample.beginning}")
