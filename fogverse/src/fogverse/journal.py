"""Log lines for people at a terminal and for systemd's journal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

from fogverse.throttle import QuietFilter


class JournalFormatter(logging.Formatter):
    """Prefixes each line with its syslog priority, ``<6>``, which the journal reads and removes."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text; each line of a traceback is a journal entry of its own."""
        if record.levelno >= logging.ERROR:
            priority = 3
        elif record.levelno >= logging.WARNING:
            priority = 4
        else:
            priority = 6 if record.levelno >= logging.INFO else 7
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines() or [""])


def is_journal(variable: str, descriptor: int) -> bool:
    """Whether a file descriptor is the stream that systemd has connected to its journal.

    ``JOURNAL_STREAM`` names it as device:inode (systemd.exec(5)). It is inherited by whatever the unit starts, also
    with another stderr, so that it is set says nothing.
    """
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return variable == f"{found.st_dev}:{found.st_ino}"


def configure(level: str, environ: Mapping[str, str], who: str = "") -> None:
    """Send the log to stderr; for the journal if systemd connected stderr to it (``JOURNAL_STREAM``).

    Args:
        level: debug, info, warning or error.
        environ: environment variables.
        who: what each line begins with, for a process that is not the only one there.
    """
    who = who.replace("%", "%%")
    output = logging.StreamHandler(sys.stderr)
    if is_journal(environ.get("JOURNAL_STREAM", ""), sys.__stderr__.fileno() if sys.__stderr__ else -1):
        output.setFormatter(JournalFormatter(f"{who}%(message)s"))
    else:
        output.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s {who}%(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level.upper())
    kafka = logging.getLogger("fogverse.kafka")
    kafka.filters[:] = [QuietFilter()]
