"""Problems as a report for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from orchestrator.errors import Problem


def report(problems: Sequence[Problem], base: Path) -> str:
    """All problems by file, each with its line, its value and what is allowed.

    Args:
        problems: in the order of files.
        base: folder that file names are shown relative to.
    """
    count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    lines = [f"{count} in the inventory or the settings; nothing was started."]
    for where, those in groupby(problems, key=lambda problem: _name(problem.file, base)):
        lines += ["", where]
        for problem in those:
            lines += _lines(problem)
    return "\n".join(lines)


def as_values(problems: Iterable[Problem]) -> list[dict[str, object]]:
    """The same for machines."""
    return [
        {
            "file": str(problem.file) if problem.file else None,
            "line": problem.line,
            "column": problem.column,
            "key": problem.key,
            "value": problem.value,
            "allowed": problem.allowed,
        }
        for problem in problems
    ]


def _lines(problem: Problem) -> list[str]:
    position = ":".join(str(part) for part in (problem.line, problem.column) if part is not None)
    subject = problem.key if problem.value is None else f"{problem.key} = {problem.value}"
    head = "  ".join(part for part in (f"line {position}" if position else "", subject) if part)
    return [f"  {head}", f"      {problem.allowed}"] if head else [f"  {problem.allowed}"]


def _name(file: Path | None, base: Path) -> str:
    if file is None:
        return "environment"
    return str(file.relative_to(base)) if file.is_relative_to(base) else str(file)
