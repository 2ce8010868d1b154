"""The root file system that all devices start from, built once: like Raspberry Pi OS Lite, without a kernel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import files
from lab.commands import require_programs, require_root, run
from lab.emulation import MACHINES, emulate, own
from lab.errors import LabError
from lab.locks import locked
from lab.mounts import mounts

#: What Raspberry Pi OS is made of.
SUITE = "bookworm"
_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "python3", "python3-apt",
    "iproute2", "procps", "ca-certificates",
)  # fmt: skip
#: Kept off the devices: nobody reads manuals there.
_EXCLUDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
#: Units that need hardware, a console or the internet.
_MASKED = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "console-getty.service", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "getty.target", "getty@tty1.service", "sys-kernel-config.mount",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-modules-load.service", "systemd-pstore.service",
    "systemd-timesyncd.service", "systemd-udev-trigger.service", "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket", "systemd-udevd.service",
)  # fmt: skip
_FILES = {
    "etc/machine-id": "",  # each device makes its own at its first boot
    "etc/resolv.conf": "nameserver 127.0.0.1\n",
    "etc/sudoers.d/pi": "pi ALL=(ALL) NOPASSWD: ALL\n",
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=16M\nReadKMsg=no\n",
    # The lab gives each device its one host key. sshd refuses bursts of connections unless told otherwise.
    "etc/ssh/sshd_config.d/lab.conf": "HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\n"
    "PasswordAuthentication no\nMaxStartups 100\nMaxSessions 100\n",
}
#: What QEMU does not do for systemd: credentials, and namespaces of IPC and of users. Units that ask for them end with
#: "Invalid argument" or "Input/output error".
_EMULATED_FILES = {
    "etc/systemd/system/service.d/emulated.conf": "[Service]\nLoadCredential=\nSetCredential=\nImportCredential=\n"
    "PrivateIPC=no\nPrivateUsers=no\n",
}
#: The user of a fresh Raspberry Pi.
USER = "pi"

_USERADD = ["useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", USER]


@dataclass(frozen=True)
class Recipe:
    """What a root file system is made of.

    Attributes:
        architecture: by Debian's name, ``amd64`` or ``arm64``; another one than the machine's is emulated.
        suite: Debian's release.
    """

    architecture: str
    suite: str = SUITE

    @property
    def command(self) -> list[str]:
        """Fetches and unpacks the packages; suite, folder and sources are to follow."""
        return [
            "mmdebstrap", "--variant=minbase", f"--architectures={self.architecture}",
            f"--include={','.join(_PACKAGES)}", *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
        ]  # fmt: skip

    @property
    def files(self) -> dict[str, str]:
        """Files that are written into it, by path."""
        return _FILES if self.architecture == own() else _FILES | _EMULATED_FILES

    @property
    def key(self) -> str:
        """Changes whenever the content of the root file system is meant to."""
        recipe = json.dumps([self.suite, self.command, _MASKED, self.files, _USERADD], sort_keys=True)
        return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def build(
    folder: Path,
    say: Callable[[str], None] = lambda _line: None,
    *,
    architecture: str | None = None,
    suite: str = SUITE,
) -> Path:
    """Build the root file system in ``folder``, unless this very one is there; returns where it is.

    A changed recipe makes a new one beside the old, which is removed once no device uses it.

    Args:
        folder: holds one folder for each recipe, and the log of the last build.
        say: told what takes long.
        architecture: ``amd64`` or ``arm64``; this machine's own unless given.
        suite: Debian's release; another one than the usual has a ``folder`` of its own.

    Raises:
        LabError: not root, a program is missing, or the packages could not be fetched.
    """
    recipe = Recipe(architecture or own(), suite)
    root = folder.absolute() / recipe.key
    emulated = recipe.architecture != own()
    if root.is_dir() and not emulated:
        return root
    require_root()
    emulate(recipe.architecture)
    require_programs(["mmdebstrap", *(["arch-test"] if emulated else [])])
    with locked(folder / "lock", timeout_s=1200 if emulated else 600):
        if not root.is_dir():
            takes = "some minutes" if emulated else "about 30 s"
            say(f"building the devices' root file system for {recipe.architecture} ({takes}, once)")
            aside = root.with_suffix(".new")
            shutil.rmtree(aside, ignore_errors=True)
            _bootstrap(recipe, aside, folder / "build.log")
            _furnish(recipe, aside)
            aside.rename(root)
            _remove_unused(folder, keep={Recipe(known, suite).key for known in MACHINES})
    return root


def _bootstrap(recipe: Recipe, root: Path, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            [*recipe.command, recipe.suite, str(root), *_sources(recipe.suite)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
        )  # fmt: skip
    if done.returncode:
        raise LabError(f"mmdebstrap failed, see {log}:\n{files.tail(log)}")


def _sources(suite: str) -> list[str]:
    """The machine's own package sources where they fit, as it may reach no others; else mmdebstrap's default."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    if f"VERSION_CODENAME={suite}" not in release.splitlines():
        return []
    candidates = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
    return [str(source) for source in candidates if source.is_file() and source.stat().st_size][:1]


def _furnish(recipe: Recipe, root: Path) -> None:
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    run(["chroot", str(root), *_USERADD])
    for name, content in recipe.files.items():
        files.write(root / name, content)
    (root / "etc/sudoers.d/pi").chmod(0o440)
    (root / "etc/machine-id").chmod(0o444)
    for unit in _MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def _remove_unused(folder: Path, keep: set[str]) -> None:
    used = " ".join(mount.options for mount in mounts())
    for old in folder.iterdir():
        if old.is_dir() and old.name not in keep and str(old.absolute()) not in used:
            shutil.rmtree(old)


def require_base(base: Path) -> None:
    """Stop here unless ``base`` looks like a root file system made for devices.

    Raises:
        LabError: it does not.
    """
    if not (base / "usr/lib/systemd/systemd").exists() or not (base / "home" / USER).is_dir():
        raise LabError(f"no root file system for devices in {base}: 'orchestrator lab up' builds it")
    if {",", ":", "\\"} & set(os.fspath(base)):
        raise LabError(f"the path {base} must not contain ',', ':' or a backslash: choose another --folder")
