"""Looks at what is valid in the inventory, and yet may not be what was meant."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.checks.line import Line
from orchestrator.inventory import Inventory


def unread_lines(inventory: Inventory) -> Iterable[Line]:
    """One line per variable that looks like one of ours and is none."""
    for problem in inventory.unread:
        yield Line(
            "inventory",
            problem.key,
            "note",
            f"{problem.allowed}: no master and no role knows that name ({problem.where})",
            "nothing, if it is a variable of your own; docs/inventory.md and the roles' pages list ours",
        )
