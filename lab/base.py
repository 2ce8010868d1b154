"""The root file system that all devices start from, built once: like Raspberry Pi OS Lite, without a kernel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab import files
from lab.commands import require_programs, require_root, run
from lab.errors import LabError
from lab.locks import locked
from lab.mounts import mounts

_SUITE = "bookworm"
_ARCHITECTURE = "amd64"
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
#: The user of a fresh Raspberry Pi.
USER = "pi"

_MMDEBSTRAP = [
    "mmdebstrap", "--variant=minbase", f"--architectures={_ARCHITECTURE}", f"--include={','.join(_PACKAGES)}",
    *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
]  # fmt: skip
_USERADD = ["useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", USER]


def build(folder: Path, say: Callable[[str], None] = lambda _line: None) -> Path:
    """Build the root file system in ``folder``, unless this very one is there; returns where it is.

    A changed recipe makes a new one beside the old, which is removed once no device uses it.

    Args:
        folder: holds one folder for each recipe, and the log of the last build.
        say: told what takes long.

    Raises:
        LabError: not root, a program is missing, or the packages could not be fetched.
    """
    root = folder.absolute() / recipe_key()
    if root.is_dir():
        return root
    require_root()
    require_programs(["mmdebstrap"])
    with locked(folder / "lock", timeout_s=600):
        if not root.is_dir():
            say("building the devices' root file system (about 30 s, once)")
            aside = root.with_suffix(".new")
            shutil.rmtree(aside, ignore_errors=True)
            _bootstrap(aside, folder / "build.log")
            _furnish(aside)
            aside.rename(root)
            _remove_unused(folder, keep=root)
    return root


def recipe_key() -> str:
    """Changes whenever the content of the root file system is meant to."""
    recipe = json.dumps([_SUITE, _MMDEBSTRAP, _MASKED, _FILES, _USERADD], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _bootstrap(root: Path, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            [*_MMDEBSTRAP, _SUITE, str(root), *_sources()],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
        )  # fmt: skip
    if done.returncode:
        raise LabError(f"mmdebstrap failed, see {log}:\n{files.tail(log)}")


def _sources() -> list[str]:
    """The machine's own package sources where they fit, as it may reach no others; else mmdebstrap's default."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    if f"VERSION_CODENAME={_SUITE}" not in release.splitlines():
        return []
    candidates = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
    return [str(source) for source in candidates if source.is_file() and source.stat().st_size][:1]


def _furnish(root: Path) -> None:
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    run(["chroot", str(root), *_USERADD])
    for name, content in _FILES.items():
        files.write(root / name, content)
    (root / "etc/sudoers.d/pi").chmod(0o440)
    (root / "etc/machine-id").chmod(0o444)
    for unit in _MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def _remove_unused(folder: Path, keep: Path) -> None:
    used = " ".join(mount.options for mount in mounts())
    for old in folder.iterdir():
        if old.is_dir() and old != keep and str(old.absolute()) not in used:
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
