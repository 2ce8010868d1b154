"""What a transaction works with: the shells and limits that the master hands to every action."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.act.actuator import Actuator
from orchestrator.act.step import Step
from orchestrator.broker.book import ReportBook
from orchestrator.broker.cluster import Cluster
from orchestrator.clock import Clock
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Mark


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
        quarantine_s: seconds that a device is left alone after a failure.
        record: is told every step.
        mark: is told every device that failed.
        reserve: holds an instance's slot against other actions; False when it is taken.
        release: gives it back.
        stop: ends the transaction early.
    """

    actuator: Actuator
    open_cluster: Callable[[], Cluster]
    reports: ReportBook
    clock: Clock
    inventory: Path
    proof_deadline_s: float
    quarantine_s: float
    record: Callable[[Step], None]
    mark: Callable[[Mark], None]
    reserve: Callable[[Instance], bool]
    release: Callable[[Instance], None]
    stop: threading.Event
