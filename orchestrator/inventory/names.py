"""Names of the variables that somebody reads, and what a name that nobody reads was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path

import yaml

from orchestrator import settings
from orchestrator.inventory import kafka, services

#: Begins every name of ours.
PREFIX = "fogverse_"
KNOWN_HOSTS = "fogverse_known_hosts"
NETNS = "fogverse_netns"
#: What the master reads of the whole installation.
INSTALLATION = (services.VARIABLE, kafka.VARIABLE, settings.VARIABLE, KNOWN_HOSTS, NETNS)
#: What the master reads of each device.
DEVICE = ("fogverse_slots", "fogverse_capacity", "fogverse_class", "fogverse_labels")
#: How alike two names are, from 0 to 1, of which one is taken for the other misspelt: one letter of the shortest name
#: (five after the prefix) that is missing, doubled, swapped or another one is enough.
ALIKE = 0.8


def known(project: Path) -> frozenset[str]:
    """Every name that begins with the prefix and is read: by the master, or by a role.

    What a role reads is what its ``argument_specs.yml`` lists; a test holds its defaults to that.

    Args:
        project: folder of the roles.
    """
    read = {*INSTALLATION, *DEVICE}
    for file in sorted(project.glob("roles/*/meta/argument_specs.yml")):
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"]
        read |= {name for entry in entries.values() for name in entry.get("options", {}) if name.startswith(PREFIX)}
    return frozenset(read)


def meant(name: str, names: Collection[str]) -> str | None:
    """The one of the names that ``name`` is nearly; None when it is like none of them.

    The prefix does not count: all names would be alike for it.
    """
    written = name.removeprefix(PREFIX)
    close = difflib.get_close_matches(written, sorted(one.removeprefix(PREFIX) for one in names), 1, ALIKE)
    return PREFIX + close[0] if close else None
