"""``orchestrator run``: the master's loop, in the foreground."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path

import click

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.leadership import Term
from orchestrator.broker.observer import Observer
from orchestrator.broker.topics import create_topics
from orchestrator.candidacy import Candidacy
from orchestrator.checks.devices import architectures
from orchestrator.cli.context import Context, Options, open_context
from orchestrator.clock import Clock, SystemClock
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.instance import Instance
from orchestrator.devices import Devices
from orchestrator.master import Master
from orchestrator.project import PROJECT
from orchestrator.ssh.diagnosis import diagnose
from orchestrator.ssh.probe import probe

log = logging.getLogger(__name__)


def devices_of(context: Context, clock: Clock) -> Devices:
    """The devices of the inventory, asked over SSH."""
    inventory, settings = context.inventory, context.settings
    return Devices(
        inventory,
        settings,
        clock,
        lambda names: probe(
            [inventory.connections[name] for name in names], inventory.known_hosts, settings.ssh_timeout
        ),
        {service.name: architectures(PROJECT / Path(service.artifact).expanduser()) for service in inventory.services},
    )


def diagnosing(context: Context) -> Callable[[Instance], Diagnosis]:
    """Asks an instance's device over SSH what is wrong with it."""
    inventory, settings = context.inventory, context.settings
    return lambda instance: diagnose(
        instance, inventory.connections[instance.device], inventory.known_hosts, settings.ssh_timeout
    )


def build(context: Context, term: Term | None = None) -> Master:
    """Put a master together on real parts.

    Args:
        context: the inventory and the settings.
        term: its time of leading; None for one that only plans.
    """
    inventory, settings = context.inventory, context.settings
    options, clock = context.observer_options(), SystemClock()
    may_act = term.confirm if term is not None else lambda: False
    return Master(
        inventory=inventory,
        settings=settings,
        clock=clock,
        open_cluster=lambda: Cluster(context.admin_options(), may_act),
        observer=Observer(
            options, settings.observer_consumer_topic, settings.observer_consumer_group_id, settings.window_max_second
        ),
        ledger=ledger.Ledger(inventory.kafka.client_options(), settings.ledger_topic),
        devices=devices_of(context, clock),
        diagnose=diagnosing(context),
        may_act=may_act,
        leads=term.holds if term is not None else lambda: True,
    )


@click.command()
@click.pass_obj
def run(options: Options) -> None:
    """Watch every service and start consumers where they are missing, until SIGTERM or Ctrl-C.

    Each decision and its reason goes to the log and to the ledger (see `explain`, `history`, `status`). A second master
    stands by, and takes over within ten seconds when the first dies.
    """
    context = open_context(options)
    settings, kafka = context.settings, context.inventory.kafka.client_options()
    cluster = Cluster(context.admin_options())
    try:
        create_topics(cluster, settings, context.inventory.services)
    finally:
        cluster.close()
    candidacy = Candidacy(kafka, settings.ledger_topic, lambda term: build(context, term))

    def stop(number: int, _frame: object) -> None:
        log.info("%s: ending what is under way", signal.Signals(number).name)
        candidacy.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    candidacy.run()
    log.info("ended; what runs on the devices goes on running")
