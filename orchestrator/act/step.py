"""One step on the way from a decision to a proved instance, as log, ledger and progress show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

StepName = Literal[
    "placed",  # a device was chosen
    "no-device",  # no device fits, or none is left
    "ansible-started",  # Ansible began its first play
    "process-alive",  # the unit runs, or the instance asks to join its group
    "late",  # most of its batch run, and do not wait for it
    "member",  # the group lists the instance
    "partitions-grown",  # the topic has a partition for it
    "partition-owned",  # it owns one
    "first-message",  # it has finished a message
    "proved",  # all of that: the transaction is done
    "unproved",  # the broker went away before the proof; the instance keeps running
    "failed",  # this device did not work out
    "quarantined",  # the device gets no new instance for a while, longer with each failure in a row
    "compensated",  # what had been started was stopped again
    "interrupted",  # the master was told to stop
    "adopted",  # an instance was seen that this master has not started
    "returned",  # an instance that was lost is seen again
    "lost",  # an instance is no longer seen
    "growth-refused",  # a topic has too few partitions but may not be grown
    "draining",  # an instance that is missed least is told to stop
    "drained",  # it has left its group and its unit is inactive
    "drain-failed",  # it could not be stopped, or was not seen to be gone
    "evicted",  # its device is gone: its membership was ended, so that others go on with its partitions
    "upgraded",  # it waited for the wanted release, which was brought to it
    "diagnosed",  # an instance is missing, silent or stuck: what its device says about it
    "restarted",  # it was started again where it was
    "dismissed",  # it was stopped on purpose, and is not missed any more
    "given-up",  # it failed too often, or starting it again would not help
    "replaced",  # another instance runs elsewhere in its place
    "surplus",  # it came back after it had been replaced: one of the two is stopped
]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened.

    Attributes:
        name: what.
        service: whose.
        at: when, seconds since the epoch.
        detail: in words.
        instance: which instance, if one.
        numbers: figures for machines, e.g. seconds since the decision.
    """

    name: StepName
    service: str
    at: float
    detail: str = ""
    instance: str | None = None
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
