"""One setting of the runtime, as a row of the table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: attribute of ``Settings``; the flag is ``--`` and the name with hyphens.
        variable: environment variable.
        parse: text to value; raises ValueError with what is allowed.
        meaning: one sentence for people.
        default: as text; None when another rule gives it, which ``fallback`` describes.
        fallback: what holds when it is not given and there is no default.
        unit: unit of the value, if it has one.
        required: whether the run cannot do without.
        switch: whether the flag has no value: ``--name`` means yes, ``--no-name`` no.
    """

    name: str
    variable: str
    parse: Callable[[str], Any]
    meaning: str
    default: str | None = None
    fallback: str = ""
    unit: str = ""
    required: bool = False
    switch: bool = False

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def notes(self) -> str:
        """Variable, default and unit in brackets, as ``--help`` shows them."""
        default = "required" if self.required else f"default: {self.default or self.fallback}"
        return f"[{self.variable}; {default}{f'; unit: {self.unit}' if self.unit else ''}]"
