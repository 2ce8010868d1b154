"""What a device can load: its Python, its architecture, its C library, and what that means for conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.errors import OrchestratorError

#: Architectures (as ``uname -m`` spells them) for which the runtime's Kafka client has wheels.
ARCHITECTURES = ("x86_64", "aarch64")
#: The newest glibc 2.x that a wheel may ask for: Debian 12 and Raspberry Pi OS (bookworm) have 2.36.
NEWEST_GLIBC = 36
OLDEST_GLIBC = 5


class WheelsError(OrchestratorError):
    """Wheels cannot be had. The text says what to change."""


@dataclass(frozen=True, slots=True)
class Platform:
    """The kind of device that wheels are collected for.

    Attributes:
        python: ``major.minor``.
        arch: one of :data:`ARCHITECTURES`.

    Raises:
        WheelsError: there are no wheels for such a device, or ``python`` is not a version.
    """

    python: str
    arch: str

    def __post_init__(self) -> None:
        if self.arch not in ARCHITECTURES:
            raise WheelsError(
                f"no wheels of the Kafka client exist for {self.arch}: a device needs a 64-bit system "
                f"({' or '.join(ARCHITECTURES)}); on a Raspberry Pi install the 64-bit Raspberry Pi OS"
            )
        if not re.fullmatch(r"3\.\d+", self.python):
            raise WheelsError(f"{self.python!r} is not a Python version: write major.minor, such as 3.11")

    def __str__(self) -> str:
        return f"Python {self.python} on {self.arch}"

    def tags(self) -> list[str]:
        """Platform tags of wheels that it can load, newest first.

        Source: `PEP 600 <https://peps.python.org/pep-0600/>`_.
        """
        return [
            *(f"manylinux_2_{minor}_{self.arch}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)),
            f"manylinux2014_{self.arch}",
            f"linux_{self.arch}",
        ]

    def environments(self) -> list[dict[str, str]]:
        """Values for conditions of requirements (environment markers); what holds in one may hold on the device.

        Two, since the third number of its Python is not known here: the lowest and one that is never reached.
        Source: the `dependency specifiers <https://packaging.python.org/en/latest/specifications/dependency-specifiers/>`_.
        """
        common = {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.arch,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_version": self.python,
            "sys_platform": "linux",
        }
        return [
            common | {"python_full_version": full, "implementation_version": full}
            for full in (f"{self.python}.0", f"{self.python}.99")
        ]
