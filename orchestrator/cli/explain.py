"""``orchestrator explain``: why a service has the instances that it has."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.broker import ledger
from orchestrator.cli.context import Options, open_context, service_named
from orchestrator.cli.tables import clock_time, mark_words, number, styled
from orchestrator.errors import OrchestratorError
from orchestrator.explanation import Explanation, figures, span
from orchestrator.explanation import explain as explain_it


@click.command()
@click.argument("service")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@click.pass_obj
def explain(options: Options, service: str, *, as_json: bool) -> None:
    """Say why SERVICE has the instances that it has.

    What was seen, what was needed, what was decided, what capped or blocked it, and when it is looked at again:
    the last decision of the master, from the ledger.
    """
    context = open_context(options)
    service_named(context, service)
    kafka, topic = context.inventory.kafka.client_options(), context.settings.ledger_topic
    devices = context.inventory.hosts_of(service)
    found = explain_it(service, ledger.read(kafka, topic), ledger.read_state(kafka, topic), time.time(), devices)
    if found is None:
        raise OrchestratorError(
            f"nothing was ever decided for {service}: start a master with `orchestrator run`, or ask what one would do "
            "with `orchestrator plan`"
        )
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        Console(soft_wrap=True).print(_view(found))


def _view(found: Explanation) -> Table:
    decision, numbers = found.decision, found.decision.get("numbers") or {}
    view = Table.grid(padding=(0, 2))
    view.add_column(no_wrap=True, style="bold")
    view.add_column()
    change = f"{number(decision['current'])} -> {number(decision['desired'])} instances, "
    view.add_row(found.service, Text(change) + styled(str(decision["kind"])) + Text(f", {span(found.age_s)} ago"))
    view.add_row("why", Text(str(decision["reason"])))
    if decision.get("capped_by"):
        view.add_row("held by", Text(str(decision["capped_by"])))
    if found.order is not None:
        view.add_row("ordered", Text(f"{found.order.kind} by {found.order.by}, until {clock_time(found.order.until)}"))
    for mark in found.marks:
        view.add_row("set aside", Text(mark_words(mark)))
    view.add_row("seen", Text("; ".join(figures(numbers, seen=True)) or "nothing"))
    reckoned = figures(numbers, seen=False)
    if reckoned:
        view.add_row("reckoned", Text("; ".join(reckoned)))
    if found.alike_s is not None:
        view.add_row("for", Text(f"{span(found.alike_s)}: decisions have been alike for so long"))
    for step in found.steps:
        words = " ".join(str(part) for part in (step.get("instance"), step.get("detail")) if part)
        view.add_row("last action", Text(f"{clock_time(float(step['at']))} ") + styled(str(step["name"])) + f" {words}")
    view.add_row("next", Text(_next(found)))
    return view


def _next(found: Explanation) -> str:
    if found.silent:
        return f"nobody has decided for {span(found.age_s)}: does a master run? start one with `orchestrator run`"
    if found.next_look_s is None or found.next_look_s <= 0:
        return "looked at again any moment"
    return f"looked at again in {span(found.next_look_s)}"
