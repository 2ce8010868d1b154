"""Where in the inventory's files a key stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import Problem
from orchestrator.validation import Finding, KeyPath

Place = tuple[Path, int | None]
_MOST_HOSTS_NAMED = 5


class Places:
    """Files and lines of the variables of one host, or of the whole installation.

    Args:
        answer: ``places`` and ``secret`` of the reading child.
        inventory: named where no file is known.
        files: YAML files to look in when the child knows no places (an ansible-core without value tags).
    """

    def __init__(self, answer: Mapping[str, Any], inventory: Path, files: Iterable[str]) -> None:
        self._inventory = inventory
        self._places: dict[KeyPath, Place] = {
            tuple(path): (Path(file), line) for path, file, line, _column in answer["places"]
        } or scan(Path(file) for file in files)
        self._secret = {tuple(path) for path in answer["secret"]}

    def of(self, path: KeyPath) -> Place:
        """File and line of the key, or of the nearest key above it; the inventory itself when there is none."""
        for length in range(len(path), 0, -1):
            if place := self._places.get(path[:length]):
                return place
        return self._inventory, None

    def problem(self, finding: Finding, key: str | None = None) -> Problem:
        """The finding with its place; masked when it came out of a vault."""
        secret = any(finding.path[:length] in self._secret for length in range(1, len(finding.path) + 1))
        return finding.problem(*self.of(finding.path), key=key, secret=secret)


def of_hosts(problem: Problem, names: Sequence[str]) -> Problem:
    """The same problem of these hosts."""
    more = len(names) - _MOST_HOSTS_NAMED
    listed = ", ".join(names[:_MOST_HOSTS_NAMED]) + (f" and {more} more" if more > 0 else "")
    return replace(problem, key=f"{problem.key} of {listed}")


def scan(files: Iterable[Path]) -> dict[KeyPath, Place]:
    """Key paths and lines of the mappings in YAML files; what a later file says again replaces the earlier.

    Lists are not entered, files that cannot be parsed are passed over.
    """
    places: dict[KeyPath, Place] = {}
    for file in files:
        try:
            document = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, OSError, UnicodeDecodeError):
            continue
        _scan(document, (), file, places)
    return places


def _scan(node: yaml.Node | None, path: KeyPath, file: Path, places: dict[KeyPath, Place]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                places[*path, key.value] = (file, key.start_mark.line + 1)
                _scan(value, (*path, key.value), file, places)
