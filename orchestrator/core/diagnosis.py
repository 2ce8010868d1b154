"""What a device says about an instance that ails."""

from __future__ import annotations

from dataclasses import dataclass

#: Exit codes of ``fogverse run`` that are not the device's fault, and what they mean.
NOT_THE_DEVICE = {
    2: "its settings are refused",
    3: "its entrypoint cannot be imported",
    4: "the broker refuses it",
    6: "its code fails on a message",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found out about an instance's unit; None for what was not.

    Attributes:
        reachable: whether its device answered.
        reason: why not, in words.
        active: systemd's ActiveState, e.g. ``active``, ``failed``, ``inactive``, ``activating``.
        sub: systemd's SubState, e.g. ``running``, ``auto-restart``.
        enabled: whether the unit starts with the device: one that was drained does not.
        exit_code: of its last process; None while the first one runs, or when a signal ended it.
        signal: that ended its last process.
        restarts: how often systemd has restarted it.
        journal: its last lines, oldest first.
    """

    reachable: bool
    reason: str = ""
    active: str | None = None
    sub: str | None = None
    enabled: bool | None = None
    exit_code: int | None = None
    signal: int | None = None
    restarts: int | None = None
    journal: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """All of it in one line, the last line of the journal included."""
        if not self.reachable:
            return f"its device does not answer: {self.reason}"
        if self.active is None:
            return "its device answers, but knows no state of the unit"
        parts = [f"unit {self.active} ({self.sub})" + ("" if self.enabled is not False else ", not enabled")]
        if self.signal is not None:
            parts.append(f"last ended by signal {self.signal}")
        elif self.exit_code is not None:
            meaning = NOT_THE_DEVICE.get(self.exit_code)
            parts.append(f"last exit code {self.exit_code}" + (f" ({meaning})" if meaning else ""))
        if self.restarts:
            parts.append(f"{self.restarts} restarts by systemd")
        if self.journal:
            parts.append(f"journal: {self.journal[-1]}")
        return "; ".join(parts)
