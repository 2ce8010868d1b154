"""The command ``fogverse``."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import dedent
from types import FrameType

import fogverse
from fogverse import journal, security
from fogverse.executor import Executor
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.setting import Setting
from fogverse.setting_table import LOG_LEVELS, TABLE
from fogverse.settings import Settings, SettingsError, misspelt

log = logging.getLogger("fogverse")

_EXITS = """\
exit codes:
  0  drained: everything processed is acknowledged and committed
  2  settings are missing or wrong
  3  the callable cannot be imported
  4  the broker refuses access, a topic stays unknown, or an output is not taken
  5  the drain timeout passed before everything was settled
  6  the callable failed on a message; that message is not committed
  7  exactly-once: another process with this instance's name has taken over
"""
_CHECK_EXITS = """\
exit codes, those that run would end with:
  0  nothing hinders a run; there may be warnings
  2  settings are missing or wrong
  3  the callable cannot be imported or called
  4  the broker cannot be reached or refuses access, or a topic is missing
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    given = {setting.name: options[setting.name] for setting in TABLE}
    environ = os.environ | {name: text for name, text in options.items() if name.startswith(security.PREFIX) and text}
    wanted = (options["log_level"] or environ.get("FOGVERSE_LOG_LEVEL", "")).lower()
    journal.configure(wanted if wanted in LOG_LEVELS else "info", environ)
    if command == "check":
        from fogverse.check import check  # noqa: PLC0415 -- an instance needs neither it nor the admin client

        return check(options["entrypoint"], environ, given, as_json=options["json"])
    with _stoppable():
        return _run(options["entrypoint"], environ, given)


def _run(entrypoint: str, environ: dict[str, str], given: dict[str, object]) -> int:
    if "WATCHDOG_USEC" in environ and sys.__stderr__ is not None:
        # systemd ends a wedged process with SIGABRT: the journal then says where each thread was.
        faulthandler.enable(sys.__stderr__)
    for line in misspelt(environ):
        log.warning("%s", line)
    try:
        settings = Settings.from_environment(environ, given)
        executor = Executor.from_settings(entrypoint, settings)
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
    # What has been imported stays: looking through it for garbage again and again would stop the loop each time.
    gc.freeze()
    return executor.run()


@contextmanager
def _stoppable() -> Iterator[None]:
    """Told to stop while the code is being imported: nothing has begun, so this is a clean end.

    Not an exception, which the code that is being imported could catch. ``Executor.run`` has handlers of its own.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        os._exit(ExitCode.OK)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    check = commands.add_parser(
        "check",
        help="tell what would hinder a run, without running",
        description=dedent(
            """\
            Test the settings, the callable, the broker, the topics and the group. Writes no message and joins no group.
            Takes the settings of 'run'."""
        ),
        epilog=_CHECK_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("--json", action="store_true", help="print one JSON object")
    for command in (run, check):
        _add_settings(command)
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "entrypoint", metavar="MODULE:CALLABLE", help="what to run, e.g. incident_detection.analyzer:process"
    )
    for setting in TABLE:
        _add_setting(command, setting)
    guarded = command.add_argument_group(
        "security, named as kafka-python names them",
        "Passwords have no flag, since flags are seen by every user of the device: "
        + ", ".join(
            f"{security.PREFIX}{name.upper()} or {security.in_file(name)}" for name in sorted(security.SECRETS)
        ),
    )
    for name, meaning in security.MEANINGS.items():
        if name not in security.SECRETS:
            variable = security.PREFIX + name.upper()
            notes = f"[{variable}; default: {security.DEFAULTS.get(name, 'none')}]"
            guarded.add_argument(
                f"--kafka-{name.replace('_', '-')}", dest=variable, metavar="X", help=f"{meaning} {notes}"
            )


def _add_setting(command: argparse.ArgumentParser, setting: Setting) -> None:
    text = f"{setting.meaning} {setting.notes}".replace("%", "%%")
    if setting.switch:
        command.add_argument(setting.flag, action=argparse.BooleanOptionalAction, help=text)
    else:
        command.add_argument(setting.flag, metavar="X", help=text)
