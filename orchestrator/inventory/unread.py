"""Variables that begin with ``fogverse_`` and that nobody reads: misspelt ones, and a user's own.

A misspelt one is an error like any other key that is not known, since the default would count in its place and nothing
would tell: a device with one slot instead of four. But nobody owns a prefix of Ansible's variables, and a user may have
some of their own for their own playbooks. So what is like no name of ours is no error; ``check`` tells of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import Problem
from orchestrator.inventory.names import meant
from orchestrator.inventory.places import Places, of_hosts
from orchestrator.validation import dotted

_OWN = "nobody reads it"


@dataclass(frozen=True, slots=True)
class Unread:
    """What was found.

    Attributes:
        misspelt: each with the name that was meant.
        own: those that are like no name of ours.
    """

    misspelt: tuple[Problem, ...]
    own: tuple[Problem, ...]


def unread(answer: Mapping[str, Any], inventory: Path, names: Collection[str]) -> Unread:
    """Look through the variables of the whole installation and of each device.

    Args:
        answer: the reading child's.
        inventory: named where no file is known.
        names: those that are read.
    """
    # What stands in a group is one problem, however many hosts are in it; what stands in ``all`` has no host at all.
    hosts_of: dict[Problem, list[str]] = {problem: [] for problem in _of(answer["master"], answer, inventory, names)}
    shared = frozenset(hosts_of)
    for host, variables in answer["devices"].items():
        for problem in _of(variables, answer, inventory, names):
            if problem not in shared:
                hosts_of.setdefault(problem, []).append(host)
    found = [of_hosts(problem, hosts) if hosts else problem for problem, hosts in hosts_of.items()]
    return Unread(
        tuple(problem for problem in found if problem.allowed != _OWN),
        tuple(problem for problem in found if problem.allowed == _OWN),
    )


def _of(
    variables: Mapping[str, Any], answer: Mapping[str, Any], inventory: Path, names: Collection[str]
) -> list[Problem]:
    places = Places(variables, inventory, answer["files"])
    return [
        Problem(*places.of((name,)), dotted((name,)), None, _words(name, names))
        for name in variables["others"]
        if name not in names
    ]


def _words(name: str, names: Collection[str]) -> str:
    if (guess := meant(name, names)) is None:
        return _OWN
    return f"{_OWN}; did you mean {guess!r}? If it is a variable of your own, begin its name with another word"
