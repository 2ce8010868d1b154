"""``orchestrator record``: what a master would observe, kept in a file for ``orchestrator simulate``."""

from __future__ import annotations

import logging
import re
import signal
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.observer import Observer
from orchestrator.cli.context import Options, open_context
from orchestrator.clock import SystemClock
from orchestrator.recorder import record as keep

log = logging.getLogger(__name__)

_DURATION = re.compile(r"(?P<count>\d+(?:\.\d+)?)(?P<unit>s|m|h|d)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}
#: A recording of a day is some tens of megabytes for each service.
LONGEST_S = 7 * 86_400.0


class Duration(click.ParamType[float]):
    """``90s``, ``10m``, ``2h``, ``1d``; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        found = _DURATION.fullmatch(str(value).strip())
        seconds = float(found["count"]) * _SECONDS[found["unit"]] if found else 0.0
        if not 0 < seconds <= LONGEST_S:
            self.fail(f"{value!r} is no time between 1s and 7d, such as 90s, 10m or 2h", param, ctx)
        return seconds


@click.command()
@click.option("--for", "seconds", type=Duration(), default="10m", show_default=True, help="How long to record.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def record(options: Options, file: Path, seconds: float) -> None:
    """Append what is observed of every service to FILE: offsets, members, reports; nothing is changed.

    It runs beside a master or without one, until the time is over, SIGTERM or Ctrl-C. `simulate FILE` replays it.
    """
    context = open_context(options)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def entries() -> Iterable[Mapping[str, Any]]:
        found = ledger.read(context.inventory.kafka.client_options(), context.settings.ledger_topic)
        return [asdict(entry) for entry in found if entry.kind in ("decision", "step")]

    looks = keep(
        file,
        seconds,
        context.inventory,
        context.settings,
        SystemClock(),
        Cluster(context.admin_options()),
        Observer(context.observer_options(), context.settings.observer_consumer_topic, None, 1.0),
        entries,
        stop,
    )
    click.echo(f"{file}: {looks} looks at {len(context.inventory.services)} services", err=True)
