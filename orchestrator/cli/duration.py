"""A length of time on the command line: ``90s``, ``10m``, ``2h``, ``1d``."""

from __future__ import annotations

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


class Duration(click.ParamType[float]):
    """Turns a length of time into seconds; more than a month is taken for a mistake."""

    name = "duration"
    most_s = 31 * 86_400.0

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of a text such as ``10m``; a number is taken for seconds already."""
        if isinstance(value, (int, float)):
            return float(value)
        found = _PATTERN.fullmatch(str(value).strip())
        seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
        if not 0 < seconds <= self.most_s:
            self.fail(f"{value!r} is not a length of time: write 90s, 10m, 2h or 1d, at most 31d", param, ctx)
        return seconds
