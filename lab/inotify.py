"""The kernel's limit that many devices on one machine run into first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
#: Each device's systemd takes about ten; the kernel's default of 128 is for all of them together.
_PER_DEVICE = 16


def allow_devices(devices: int, say: Callable[[str], None]) -> None:
    """Raise the kernel's limit when that many devices would run into it: from about the eighth on."""
    present, needed = int(_LIMIT.read_text()), 128 + devices * _PER_DEVICE
    if devices > present // _PER_DEVICE:
        say(f"raising fs.inotify.max_user_instances from {present} to {needed}, until the machine's next start")
        _LIMIT.write_text(str(needed))
