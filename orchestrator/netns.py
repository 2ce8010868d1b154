"""Named network namespaces, as ``ip netns`` keeps them (``os.setns`` is of Python 3.12)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


def enter(name: str) -> None:
    """Move the calling thread into the namespace ``name`` for good; its children and new threads follow.

    Raises:
        FileNotFoundError: when there is no such namespace.
        PermissionError: when the caller is not root.
    """
    with (_FOLDER / name).open("rb") as namespace:
        _setns(namespace.fileno())


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Be in the namespace ``name`` inside the ``with`` block; only the calling thread, and only for it."""
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        enter(name)
        try:
            yield
        finally:
            _setns(before.fileno())


def _setns(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
