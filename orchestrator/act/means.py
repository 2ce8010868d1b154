"""What a transaction works with: the shells and limits that the master hands to every action."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from orchestrator.act.actuator import Actuator
from orchestrator.act.step import Step
from orchestrator.broker.book import ReportBook
from orchestrator.broker.cluster import Cluster
from orchestrator.clock import Clock
from orchestrator.core.instance import Instance
from orchestrator.core.quarantine import Quarantine


@dataclass(frozen=True, slots=True)
class Means:
    """What a transaction works with.

    Attributes:
        actuator: runs Ansible.
        open_cluster: opens an admin connection for this thread.
        reports: the newest reports.
        clock: time.
        inventory: given to Ansible.
        proof_deadline_s: seconds from a live process to a message finished.
        retry_s: seconds from an action's begin in which another device may be tried for one that failed.
        record: is told every step.
        failed: is told every device that failed, and why; says for how long it is left alone.
        worked: is told every device on which an instance has proved itself.
        reserve: holds an instance's slot against other actions; False when it is taken.
        release: gives it back.
        progress: is told which instances are being started or stopped and how far that is; none when it is over.
        stop: ends the transaction early.
    """

    actuator: Actuator
    open_cluster: Callable[[], Cluster]
    reports: ReportBook
    clock: Clock
    inventory: Path
    proof_deadline_s: float
    retry_s: float
    record: Callable[[Step], None]
    failed: Callable[[str, str], Quarantine]
    worked: Callable[[str], None]
    reserve: Callable[[Instance], bool]
    release: Callable[[Instance], None]
    progress: Callable[[Collection[Instance], str], None]
    stop: threading.Event
