"""The command ``fogverse``."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from textwrap import dedent

import fogverse
from fogverse import journal, security
from fogverse.entrypoint import load
from fogverse.executor import Executor
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.setting_table import LOG_LEVELS, TABLE
from fogverse.settings import Settings, SettingsError

log = logging.getLogger("fogverse")

_EXITS = """\
exit codes:
  0  drained: everything processed is acknowledged and committed
  2  settings are missing or wrong
  3  the callable cannot be imported
  4  the broker refuses access, a topic stays unknown, or an output is not taken
  5  the drain timeout passed before everything was settled
  6  the callable failed on a message; that message is not committed
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = vars(_parser().parse_args(arguments))
    options.pop("command")
    entrypoint = options.pop("entrypoint")
    wanted = options["log_level"] or os.environ.get("FOGVERSE_LOG_LEVEL", "")
    journal.configure(wanted.lower() if wanted.lower() in LOG_LEVELS else "info", os.environ)
    given = {setting.name: options[setting.name] for setting in TABLE}
    secure = {name: text for name, text in options.items() if name.startswith(security.PREFIX) and text}
    try:
        settings = Settings.from_environment(os.environ | secure, given)
        executor = Executor.from_settings(load(entrypoint), settings)
    except SettingsError as error:
        for problem in error.problems:
            log.error("%s", problem)  # noqa: TRY400 -- one line each; a traceback would hide them
        return ExitCode.BAD_SETTINGS
    except TypeError as error:
        log.error("cannot run %s: %s", entrypoint, error)  # noqa: TRY400
        return ExitCode.NO_CALLABLE
    except Fault as fault:
        log.error("%s", fault.text)  # noqa: TRY400
        return fault.code
    return executor.run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fogverse", description="Consume a Kafka topic, process, produce to the next."
    )
    parser.add_argument("--version", action="version", version=f"fogverse {fogverse.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a callable until stopped",
        description=dedent(
            """\
            Run a callable on every message of the source topic until SIGTERM or SIGINT.
            Each setting is a flag or an environment variable; the flag wins."""
        ),
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "entrypoint", metavar="MODULE:CALLABLE", help="what to run, e.g. incident_detection.analyzer:process"
    )
    for setting in TABLE:
        run.add_argument(setting.flag, metavar="X", help=f"{setting.meaning} {setting.notes}".replace("%", "%%"))
    guarded = run.add_argument_group(
        "security, named as kafka-python names them",
        "Passwords have no flag, since flags are seen by every user of the device: "
        + ", ".join(security.PREFIX + name.upper() for name in sorted(security.SECRETS)),
    )
    for name, meaning in security.MEANINGS.items():
        if name not in security.SECRETS:
            variable = security.PREFIX + name.upper()
            guarded.add_argument(
                f"--kafka-{name.replace('_', '-')}", dest=variable, metavar="X", help=f"{meaning} [{variable}]"
            )
    return parser
