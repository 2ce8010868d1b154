"""The command ``orchestrator``: puts the commands together and turns errors into exit codes."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lab.cli import lab
from lab.demo.cli import build, demo
from orchestrator.cli.check import check
from orchestrator.cli.context import INVENTORY_VARIABLE, Options
from orchestrator.cli.deployment import deploy, drain, upgrade
from orchestrator.cli.device import device
from orchestrator.cli.explain import explain
from orchestrator.cli.history import history
from orchestrator.cli.observer import observer
from orchestrator.cli.orders import pause, resume, scale
from orchestrator.cli.plan import plan
from orchestrator.cli.record import record
from orchestrator.cli.run import run
from orchestrator.cli.simulate import simulate
from orchestrator.cli.status import status
from orchestrator.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    ConfigurationInvalid,
    OrchestratorError,
)
from orchestrator.inventory.report import report

#: Every command, in the order of ``--help``.
COMMANDS: tuple[click.Command, ...] = (
    check,
    plan,
    run,
    status,
    explain,
    history,
    scale,
    pause,
    resume,
    observer,
    deploy,
    drain,
    upgrade,
    device,
    record,
    simulate,
    lab,
)

EXIT_CODES = """\b
Exit codes:
  0    all is well
  1    something failed
  2    the inventory, a setting or the command line is wrong
  3    no broker can be reached
  4    a device cannot be reached or lacks something
  5    the broker refuses access
  130  interrupted
"""


def _version() -> str:
    try:
        return importlib.metadata.version("fogverse-orchestrator")
    except importlib.metadata.PackageNotFoundError:
        return "not installed: run from a checkout"


class _Group(click.Group):
    """Lists the commands in the order in which one needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(cls=_Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-i",
    "--inventory",
    type=click.Path(path_type=Path),
    envvar=INVENTORY_VARIABLE,
    show_envvar=True,
    help="Inventory file or folder. Default: inventory/lab if it exists, else the only folder in inventory/ "
    "that is not the example.",
)
@click.option("-v", "--verbose", count=True, help="Log more; twice: log everything, Kafka's client included.")
@click.version_option(_version(), "--version", message="%(version)s")
@click.pass_context
def cli(ctx: click.Context, inventory: Path | None, verbose: int) -> None:
    """Watch the throughput of stream processing services and start consumers on fog devices."""
    _log(verbose)
    ctx.obj = Options(inventory)


lab.add_command(build)
lab.add_command(demo)
for command in COMMANDS:
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: without the program's name; those of the process when None.

    Returns:
        The exit code, see ``--help``.
    """
    try:
        code = cli.main(arguments, prog_name="orchestrator", standalone_mode=False)
    except ConfigurationInvalid as error:
        click.echo(report(error.problems, Path.cwd()), err=True)
        return error.exit_code
    except OrchestratorError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except PermissionError as error:
        click.echo(f"error: {error.strerror}: {error.filename}; run it again with sudo, or as the owner", err=True)
        return EXIT_FAILED
    except BrokenPipeError:  # the reader has gone, as with "| head"; Python must not complain at its end again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return code if isinstance(code, int) else EXIT_OK


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


def _log(verbose: int) -> None:
    """Our log to standard error; other people's only when asked for or when something is wrong."""
    root = logging.getLogger()
    if not any(isinstance(handler, _StandardError) for handler in root.handlers):
        handler = _StandardError()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
        root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose > 1 else logging.WARNING)
    for ours in ("orchestrator", "lab"):
        logging.getLogger(ours).setLevel(logging.DEBUG if verbose else logging.INFO)
    # What fails there is raised, and said by us.
    logging.getLogger("kafka").setLevel(logging.NOTSET if verbose else logging.CRITICAL)
    # These write down whole requests, and with SASL's PLAIN a password is one.
    for wordy in ("kafka.protocol", "kafka.net"):
        logging.getLogger(wordy).setLevel(logging.INFO if verbose else logging.NOTSET)
