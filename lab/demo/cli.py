"""``orchestrator lab demo`` and ``orchestrator lab build``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lab.base import build as build_base
from lab.commands import require_root
from lab.jars import collect
from orchestrator.project import PROJECT

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--report", type=_FILE, default=Path("demo-report.json"), show_default=True, help="Where to write it.")
@click.option("--picture", type=_FILE, help="Write the story as an SVG, too.")
def demo(report: Path, picture: Path | None) -> None:
    """Tell the main job live: an overload makes the master start one more consumer.

    Three devices, a broker, a master, and a crawler whose rate rises. Ends with a verdict; exit code 0 only if
    nothing was lost, the second instance worked, and the spike before caused no deployment. Its lab is its own.
    """
    require_root()
    sys.path.insert(0, str(PROJECT / "examples" / "incident_detection"))  # the crawler is part of the example
    from lab.demo.run import run  # noqa: PLC0415 - only importable with the example on the path

    sys.exit(run(PROJECT / ".lab" / "demo", report, picture))


@click.command()
def build() -> None:
    """Build what labs start from: the broker's jars and the devices' root file system; keeps what is there."""
    require_root()
    collect(PROJECT / ".lab" / "jars", click.echo)
    build_base(PROJECT / ".lab" / "base", click.echo)
