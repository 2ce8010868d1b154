"""The whole output of a run that a person has started, in a file of its own."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

#: Files kept in the folder, the newest; what else is in it is left alone.
KEPT = 50
_OURS = re.compile(r"\d{8}-\d{6}-[a-z0-9-]+\.log")
_MASK = "********"
#: Shorter ones would blacken half of the text, and protect nothing.
_SHORTEST_SECRET = 4


def name_of(now: float, *words: str | None) -> str:
    """A file name that sorts by time, e.g. ``20261125-113507-deploy-analyzer.log``; local time."""
    moment = datetime.datetime.fromtimestamp(now).astimezone().strftime("%Y%m%d-%H%M%S")
    return "-".join([moment, *(word for word in words if word)]) + ".log"


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets; Ansible hides what its tasks call secret, this is for what a program has said."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, _MASK)
    return text


def prune(folder: Path, keep: int = KEPT) -> None:
    """Delete the oldest logs of earlier runs."""
    ours = sorted(path for path in folder.iterdir() if _OURS.fullmatch(path.name))
    for path in ours[: max(0, len(ours) - keep)]:
        with contextlib.suppress(OSError):
            path.unlink()


class RunLog:
    """A file that only its owner may read; what can no longer be written does not end the run."""

    def __init__(self, path: Path, secrets: Iterable[str] = ()) -> None:
        """Create the file, and its folder.

        Args:
            path: replaced when it is there.
            secrets: texts that must not get into it.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._secrets = tuple(secrets)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="replace")
        os.fchmod(descriptor, 0o600)
        self._broken = False

    def write(self, text: str) -> None:
        """Add a line, or several."""
        if self._broken:
            return
        try:
            self._file.write(masked(text, self._secrets) + "\n")
            self._file.flush()
        except OSError as error:
            self._broken = True
            log.warning("%s is written no further: %s", self.path, error.strerror)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()
