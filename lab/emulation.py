"""Programs of another architecture on this machine: QEMU runs them, the kernel calls it by itself."""

from __future__ import annotations

import os
from pathlib import Path

from lab.commands import run
from lab.errors import LabError

_KERNEL = Path("/proc/sys/fs/binfmt_misc")
_FORMATS = Path("/usr/lib/binfmt.d")
#: Names of machines, as ``uname`` gives them, by Debian's name of the architecture.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def own() -> str:
    """This machine's architecture, by Debian's name.

    Raises:
        LabError: it is one for which there are no simulated devices.
    """
    machine = os.uname().machine
    for architecture, name in MACHINES.items():
        if name == machine:
            return architecture
    raise LabError(f"no simulated devices on a {machine} machine: there are some for {', '.join(MACHINES.values())}")


def emulate(architecture: str) -> None:
    """Let this machine run programs of another architecture; does nothing for its own.

    The kernel is told to open the emulator once (flag F), so that it works inside other root file systems, and to
    take the rights from the program (flag C), without which ``sudo`` on a device says that it is not root. The
    distribution's own registration lacks C. It holds for the whole machine, until its next start.

    Source: Linux, Documentation/admin-guide/binfmt-misc.rst.

    Raises:
        LabError: the emulator is not installed, or the kernel does not take it.
    """
    if architecture == own():
        return
    name = f"qemu-{MACHINES[architecture]}"
    format_ = _FORMATS / f"{name}.conf"
    if not format_.exists():
        raise LabError(f"no emulator for {architecture}: install with 'apt-get install qemu-user-static arch-test'")
    if not (_KERNEL / "register").exists():
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_KERNEL)])
    registered = _KERNEL / name
    if registered.exists():
        if "C" in _flags(registered):
            return
        registered.write_text("-1", encoding="ascii")
    line = format_.read_text(encoding="ascii").strip()
    fields, _, flags = line.rpartition(":")
    wanted = "".join(sorted({*flags, "C", "F"}))
    try:
        (_KERNEL / "register").write_text(f"{fields}:{wanted}", encoding="ascii")
    except OSError as problem:
        raise LabError(f"the kernel does not take the emulator of {architecture}: {problem}") from None


def _flags(registered: Path) -> str:
    for line in registered.read_text(encoding="ascii").splitlines():
        if line.startswith("flags:"):
            return line.partition(":")[2].strip()
    return ""
