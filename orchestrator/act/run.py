"""One Ansible run: built as a value here, carried out in a child process by ``actuator``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from orchestrator.core.instance import Instance

Verdict = Literal["ok", "failed", "unreachable"]
#: The tasks that start or stop instances: what a host says about an instance then is the result.
DECISIVE = ("Start the instances", "Drain the instances")
_INSTANCE = "instance "


@dataclass(frozen=True, slots=True)
class PlaybookRun:
    """What to run.

    Attributes:
        playbook: file name in ``playbooks/``.
        inventory: file or folder given to ``-i``.
        limit: hosts, as for ``-l``.
        variables: extra variables; they travel in a file, never in ``argv``.
        check: whether it is a dry run: Ansible's ``--check --diff``.
        followed: whether somebody looks on: the events tell each host's tasks, reports and the whole output, too.
    """

    playbook: str
    inventory: Path
    limit: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    followed: bool = False

    def as_request(self) -> dict[str, Any]:
        """The run as the child process reads it on its standard input."""
        return {**asdict(self), "inventory": str(self.inventory), "variables": dict(self.variables)}


def deploy(
    instances: Collection[Instance], inventory: Path, known: Mapping[str, Any] = MappingProxyType({})
) -> PlaybookRun:
    """Start instances of one service in one run: the playbook that an operator runs by hand, with its variables.

    Args:
        instances: all of one service.
        inventory: given to Ansible.
        known: variables that spare the playbook the work of finding them out.
    """
    return _for("deploy.yml", instances, inventory, **known)


def restart(instances: Collection[Instance], inventory: Path) -> PlaybookRun:
    """The same for instances whose process runs but does not work: it is stopped first, with time to drain."""
    return _for("deploy.yml", instances, inventory, fogverse_consumer_forced=True)


def drain(instances: Collection[Instance], inventory: Path) -> PlaybookRun:
    """Stop instances of one service after they have finished what they have in hand."""
    return _for("drain.yml", instances, inventory)


def _for(playbook: str, instances: Collection[Instance], inventory: Path, **more: Any) -> PlaybookRun:
    slots: dict[str, list[int]] = {}
    for instance in sorted(instances):
        slots.setdefault(instance.device, []).append(instance.slot)
    [service] = {instance.service for instance in instances}
    return PlaybookRun(playbook, inventory, ",".join(slots), {"service": service, "slots": slots, **more})


@dataclass(frozen=True, slots=True)
class HostOutcome:
    """How a run ended on one host.

    Attributes:
        verdict: ok, failed (a task failed) or unreachable (SSH did not get through).
        task: the task that ended it; None when ok.
        reason: the first useful line of the error; empty when ok.
        decided: whether the host said of every instance that one of those tasks was about that it is done.
    """

    verdict: Verdict
    task: str | None = None
    reason: str = ""
    decided: bool = False

    @property
    def words(self) -> str:
        """What went wrong, in words; empty when nothing did."""
        if self.verdict == "unreachable":
            return f"SSH does not get through: {self.reason}"
        return f"task '{self.task}' failed: {self.reason}" if self.task else self.reason


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        hosts: by host name; a host that Ansible never got to is absent.
        ended_at: when the child process was gone.
        error: why the run as a whole failed (deadline, interrupted, Ansible's own words); None when it ran.
        begun: whether it came to its first play; before that no device had anything to do with how it ended.
    """

    hosts: Mapping[str, HostOutcome]
    ended_at: float
    error: str | None = None
    begun: bool = True

    def of(self, host: str) -> HostOutcome:
        """The outcome on one host; a run that failed as a whole failed on each host that it was not done with.

        A host that hangs must not fail the others: one whose instances were started (or drained) counts as done, and
        what is to be believed of it is proved from Kafka anyway.
        """
        found = self.hosts.get(host)
        if found is not None and (self.error is None or found.decided or found.verdict != "ok"):
            return found
        return HostOutcome("failed", None, self.error or "Ansible did not run on this host: is it in the inventory?")


def done_in(task: str | None, result: Any) -> list[str]:
    """The instances that a device has started, or stopped, by what it said; none when something was missing there.

    Args:
        task: name; only the tasks that start or stop instances say anything.
        result: the task's. Its output has a line ``instance {"instance": "analyzer@pi-1.1", "failed": false, ...}`` for
            each, as the role's scripts print it.
    """
    if task not in DECISIVE or not isinstance(result, Mapping):
        return []
    said = [
        found
        for line in str(result.get("stdout") or "").splitlines()
        if line.startswith(_INSTANCE) and (found := _said(line.removeprefix(_INSTANCE))) is not None
    ]
    return [] if any(failed for _, failed in said) else [name for name, _ in said]


def _said(text: str) -> tuple[str, bool] | None:
    """Instance and whether it has failed; None of what makes no sense: one device must not end the run for all."""
    try:
        one = json.loads(text)
        return str(one["instance"]), bool(one["failed"])
    except (ValueError, KeyError, TypeError):
        return None
