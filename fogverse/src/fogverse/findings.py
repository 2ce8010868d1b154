"""What ``fogverse check`` finds: one line each, with the mend, and the exit code that follows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fogverse.exit_codes import ExitCode

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what: ``settings``, ``callable``, ``topic analyze``.
        level: ``fail`` hinders a run; ``warn`` does not, or could not be found out.
        text: how it is.
        mend: what to do; empty when it is well.
        code: exit code with which a run would end; 0 unless ``fail``.
    """

    subject: str
    level: Level
    text: str
    mend: str = ""
    code: ExitCode = ExitCode.OK

    def line(self) -> str:
        """For people."""
        return f"{self.level:4}  {self.subject}: {self.text}" + (f" ({self.mend})" if self.mend else "")


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(subject, "ok", text)


def warn(subject: str, text: str, mend: str = "") -> Finding:
    """It does not hinder a run."""
    return Finding(subject, "warn", text, mend)


def fail(subject: str, code: ExitCode, text: str, mend: str = "") -> Finding:
    """A run would end with ``code``."""
    return Finding(subject, "fail", text, mend, code)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """The lowest code of what fails: a run would meet settings before the callable, and that before the broker."""
    return min((found.code for found in findings if found.code), default=ExitCode.OK)


def as_json(findings: Iterable[Finding]) -> str:
    """For programs: one object."""
    rows = list(findings)
    checks = [{"subject": f.subject, "level": f.level, "text": f.text, "mend": f.mend} for f in rows]
    return json.dumps({"exit_code": int(exit_code(rows)), "checks": checks})
