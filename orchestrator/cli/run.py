"""``orchestrator run``: the master's loop, in the foreground."""

from __future__ import annotations

import logging
import signal

import click

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.observer import Observer
from orchestrator.cli.context import Context, Options, open_context
from orchestrator.clock import SystemClock
from orchestrator.master import Master
from orchestrator.ssh.probe import probe

log = logging.getLogger(__name__)


def build(context: Context) -> Master:
    """Put a master together on real parts."""
    inventory, settings = context.inventory, context.settings
    options = context.observer_options()
    return Master(
        inventory=inventory,
        settings=settings,
        clock=SystemClock(),
        open_cluster=lambda: Cluster(context.admin_options()),
        observer=Observer(
            options, settings.observer_consumer_topic, settings.observer_consumer_group_id, settings.window_max_second
        ),
        ledger=ledger.Ledger(inventory.kafka.client_options(), settings.ledger_topic),
        probe_devices=lambda names: probe(
            [inventory.connections[name] for name in names], inventory.known_hosts, settings.ssh_timeout
        ),
    )


@click.command()
@click.pass_obj
def run(options: Options) -> None:
    """Watch every service and start consumers where they are missing, until SIGTERM or Ctrl-C.

    Each decision and its reason goes to the log and to the ledger (see `history`, `status`).
    """
    context = open_context(options)
    master = build(context)

    def stop(number: int, _frame: object) -> None:
        log.info("%s: ending what is under way", signal.Signals(number).name)
        master.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    master.run(ledger.read(context.inventory.kafka.client_options(), context.settings.ledger_topic))
    log.info("ended; what runs on the devices goes on running")
