"""The errors of the master, each with the exit code of the command that it ends.

::

    OrchestratorError             something failed                            exit 1
    ├── ConfigurationInvalid      inventory or settings are wrong             exit 2
    │   ├── InventoryInvalid      mend the files that the report names
    │   └── SettingsInvalid       mend ``fogverse_settings`` or the environment variables named
    ├── SimulationInvalid         a file, shape or setting of a simulation is wrong: mend it      exit 2
    ├── NamespaceMissing          the network namespace of the inventory is not there: start the lab  exit 2
    ├── BrokerUnreachable         start the broker, or correct ``bootstrap_servers``   exit 3
    │   └── BrokerRefuses         correct user, password, certificates or rights         exit 5
    ├── DeviceFailed              a device cannot be reached or refuses: mend the device   exit 4
    └── NotLeading                another master leads: this one must not act

The text of each says what was wrong and what the user can do; none of them shows a secret.
"""

# ruff: noqa: N818 - the names say what is the matter: `except BrokerUnreachable` needs no suffix

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

#: Exit codes of every command, as ``--help`` and the documentation name them.
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_INVALID = 2
EXIT_BROKER = 3
EXIT_DEVICE = 4
EXIT_REFUSED = 5
EXIT_INTERRUPTED = 130


class OrchestratorError(Exception):
    """Something failed; the text is meant for the user and holds the mend."""

    exit_code: ClassVar[int] = EXIT_FAILED


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in the inventory or in the settings.

    Attributes:
        file: the file to mend; None when it is not known (a dynamic inventory, an environment variable).
        line: line in ``file``, from 1; None when not known.
        key: path of the key, e.g. ``fogverse_services.analyzer.workers``; empty for a whole file.
        value: what stands there, for the eye, secrets masked; None when the key is missing.
        allowed: what may stand there, or what to do.
        column: column in ``line``, from 1; known for YAML that cannot be parsed.
    """

    file: Path | None
    line: int | None
    key: str
    value: str | None
    allowed: str
    column: int | None = None

    @property
    def where(self) -> str:
        """``file:line:column`` as far as known; empty when no file is."""
        if self.file is None:
            return ""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def __str__(self) -> str:
        parts = [part for part in (self.where, self.key) if part]
        if self.value is not None:
            parts.append(self.value)
        return ": ".join([*parts, self.allowed])


class ConfigurationInvalid(OrchestratorError):
    """What the user wrote is wrong; carries every problem found, not only the first."""

    exit_code = EXIT_INVALID

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class InventoryInvalid(ConfigurationInvalid):
    """The inventory cannot be used as it is; nothing was started."""


class SettingsInvalid(ConfigurationInvalid):
    """``fogverse_settings`` or an environment variable has a value that is not allowed."""


class SimulationInvalid(OrchestratorError):
    """What is to be simulated is wrong: a file, the name of a shape or a policy, or a setting."""

    exit_code = EXIT_INVALID


class NamespaceMissing(OrchestratorError):
    """The network namespace that the inventory's ``fogverse_netns`` names does not exist."""

    exit_code = EXIT_INVALID


class BrokerUnreachable(OrchestratorError):
    """No Kafka broker answered."""

    exit_code = EXIT_BROKER


class BrokerRefuses(BrokerUnreachable):
    """A broker answers and refuses us, or we refuse it: user, password, certificates, rights. Waiting does not help."""

    exit_code = EXIT_REFUSED


class DeviceFailed(OrchestratorError):
    """A device cannot be reached over SSH, or refuses what is needed of it."""

    exit_code = EXIT_DEVICE


class NotLeading(OrchestratorError):
    """Another master leads, or it cannot be told: nothing may be changed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not done: another master leads, or the broker cannot say that this one does")
