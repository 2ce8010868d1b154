"""One Ansible run: built as a value here, carried out in a child process by ``actuator``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestrator.core.instance import Instance

Verdict = Literal["ok", "failed", "unreachable"]


@dataclass(frozen=True, slots=True)
class PlaybookRun:
    """What to run.

    Attributes:
        playbook: file name in ``playbooks/``.
        inventory: file or folder given to ``-i``.
        limit: hosts, as for ``-l``.
        variables: extra variables; they travel in a file, never in ``argv``.
    """

    playbook: str
    inventory: Path
    limit: str
    variables: Mapping[str, Any] = field(default_factory=dict)

    def as_request(self) -> dict[str, Any]:
        """The run as the child process reads it on its standard input."""
        return {**asdict(self), "inventory": str(self.inventory), "variables": dict(self.variables)}


def deploy(instance: Instance, inventory: Path) -> PlaybookRun:
    """Start one instance: the playbook that an operator runs by hand, with the same variables."""
    return _for("deploy.yml", instance, inventory)


def drain(instance: Instance, inventory: Path) -> PlaybookRun:
    """Stop one instance after it has finished what it has in hand."""
    return _for("drain.yml", instance, inventory)


def _for(playbook: str, instance: Instance, inventory: Path) -> PlaybookRun:
    return PlaybookRun(playbook, inventory, instance.device, {"service": instance.service, "slot": instance.slot})


@dataclass(frozen=True, slots=True)
class HostOutcome:
    """How a run ended on one host.

    Attributes:
        verdict: ok, failed (a task failed) or unreachable (SSH did not get through).
        task: the task that ended it; None when ok.
        reason: the first useful line of the error; empty when ok.
    """

    verdict: Verdict
    task: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        hosts: by host name; a host that Ansible never got to is absent.
        ended_at: when the child process was gone.
        error: why the run as a whole failed (deadline, interrupted, Ansible's own words); None when it ran.
    """

    hosts: Mapping[str, HostOutcome]
    ended_at: float
    error: str | None = None

    def of(self, host: str) -> HostOutcome:
        """The outcome on one host; a run that failed as a whole failed on each host it did not finish."""
        found = self.hosts.get(host)
        if found is not None and (self.error is None or found.verdict != "ok"):
            return found
        return HostOutcome("failed", None, self.error or "Ansible did not run on this host: is it in the inventory?")
