"""What a device is going through in a playbook run, in an operator's word instead of Ansible's task."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a run.

    Attributes:
        words: for the eye.
        on_device: whether its task is carried out by the device, so that its end shows that SSH gets through.
    """

    words: str
    on_device: bool = False


#: The first that matches the beginning of a task's name counts. They go by the verbs that the roles' names begin with,
#: so that a new task in the same words is understood.
_RULES: tuple[tuple[re.Pattern[str], Phase], ...] = tuple(
    (re.compile(pattern), phase)
    for pattern, phase in (
        (r"(Wait|See).*\bmembers?\b", Phase("member", on_device=True)),
        (r"(Look|Ask|Gather) ", Phase("checking", on_device=True)),
        (r"(Check|The|Leave|Name|Note|Warn|Tell|Validating) ", Phase("checking")),
        (r"Pack ", Phase("packing release")),
        (r"Collect ", Phase("collecting wheels")),
        (r"(Make room for|Push|Bring) .*\b(release|artifact|its wheels)\b", Phase("pushing release", on_device=True)),
        (r"(Make room for|Push|Bring) ", Phase("pushing runtime", on_device=True)),
        (r"Install ", Phase("installing", on_device=True)),
        (r"(Create|Prepare|Enable) ", Phase("preparing", on_device=True)),
        (r"(Write|Copy|Configure|Deliver) ", Phase("configuring", on_device=True)),
        (r"Switch ", Phase("switching release", on_device=True)),
        (r"(Restart|Start) ", Phase("starting", on_device=True)),
        (r"(Drain|Stop) ", Phase("draining", on_device=True)),
        (r"(Delete|Remove) ", Phase("removing", on_device=True)),
        (r"(Roll|Go) back", Phase("rolling back", on_device=True)),
        (r"(Judge|Fail|Report)\b", Phase("judging")),
    )
)


def phase_of(task: str) -> Phase:
    """The phase that a task belongs to; one that is not known goes by its own name."""
    name = task.rpartition(" : ")[2]  # Ansible puts the role's name before it
    return next((phase for pattern, phase in _RULES if pattern.match(name)), Phase(name))
