"""One line of a check."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warn", "fail"]
Kind = Literal["inventory", "broker", "topic", "service", "device"]


@dataclass(frozen=True, slots=True)
class Line:
    """What was found out about one thing.

    Attributes:
        kind: what sort of thing.
        name: which.
        state: ``ok``; ``note``: worth knowing; ``warn``: will hurt some day; ``fail``: will not work.
        text: what was found, in words and numbers.
        mend: what to do about it; empty when there is nothing to do.
        refused: whether it is there and does not let us in.
    """

    kind: Kind
    name: str
    state: State
    text: str
    mend: str = ""
    refused: bool = False


def counted(things: Sized | int, noun: str) -> str:
    """``1 device``, ``2 devices``."""
    number = things if isinstance(things, int) else len(things)
    return f"{number} {noun}{'' if number == 1 else 's'}"
