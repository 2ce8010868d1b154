"""Mounts of this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lab.commands import run
from lab.errors import LabError

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the kernel's table: what is mounted where.

    Attributes:
        source: for an overlay the name it was given.
        target: the folder it covers.
        options: of the file system, e.g. ``lowerdir=...``.
    """

    source: str
    target: Path
    options: str


def mounts() -> list[Mount]:
    """All mounts that this process sees, oldest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        _kind, source, options = right.split(" ", 2)
        found.append(Mount(_plain(source), Path(_plain(left.split(" ")[4])), _plain(options)))
    return found


def mount_overlay(name: str, lower: Path, upper: Path, work: Path, target: Path) -> None:
    """Show ``lower`` at ``target``, with everything that is changed kept in ``upper``.

    Args:
        name: shown as the source, and how the mount is found again.
        lower: never changed; others may use it too.
        upper: the changes.
        work: the kernel's own, on the file system of ``upper``.
        target: an empty folder.
    """
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    run(["mount", "-t", "overlay", name, "-o", options, str(target)])


def unmount(target: Path) -> None:
    """Unmount; when something is still busy there, as soon as it no longer is."""
    try:
        run(["umount", str(target)])
    except LabError:
        run(["umount", "--lazy", str(target)])


def _plain(field: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), field)
