"""What is known of a device: what is shown, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["on", "off", "cut", "frozen"]


@dataclass(frozen=True)
class DeviceStatus:
    """A device as ``lab ls`` shows it.

    Attributes:
        name: inventory name.
        address: its address in the lab's network.
        state: ``off``; ``frozen``: hangs, with its link up; ``cut``: runs, with its link down; ``on``.
        cpu: percent of one processor core that it may use, None for all there is.
    """

    name: str
    address: str
    state: State
    cpu: int | None


@dataclass(frozen=True)
class Record:
    """What outlives a power cycle, in ``device.json``.

    Attributes:
        base: the root file system it was made from.
        cpu: percent of one core, None for all.
        is_cut: whether its cable is pulled.
    """

    base: str
    cpu: int | None
    is_cut: bool = False
