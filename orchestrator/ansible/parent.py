"""Ending with the process that started this one, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def end_with_the_parent(parent: int, how: signal.Signals) -> None:
    """Have this process sent a signal when the process that forked it ends.

    Source: prctl(2), PR_SET_PDEATHSIG. It looks at the *thread* that forked, so it is of use below a process with one
    thread only.

    Args:
        parent: its process id; when it has ended already, the signal is sent at once.
        how: the signal.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def adopt_orphans() -> None:
    """Become the parent of whatever descendants lose theirs. Source: prctl(2), PR_SET_CHILD_SUBREAPER."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)
