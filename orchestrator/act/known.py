"""The checksums that a start needs, named by the master itself: the playbook by hand starts a Python for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator import artifact, runtime
from orchestrator.core.service import Service
from orchestrator.errors import OrchestratorError
from orchestrator.project import PROJECT


def known(service: Service) -> Mapping[str, Any]:
    """Extra variables with the checksums of a service's release and of the runtime, as they are now.

    They say of which runtime, artifact and constraints they are: the role names its own when an inventory has changed
    one of them. Nothing where something cannot be read: then the role names them, or says what is wrong.
    """
    source, constraints = PROJECT / "fogverse", PROJECT / "constraints.txt"
    try:
        release = artifact.checksum(PROJECT / Path(service.artifact).expanduser())
        needs = runtime.checksum(source, constraints)
    except (OrchestratorError, OSError):
        return {}
    of = [str(source), service.artifact, str(constraints)]
    return {"fogverse_consumer_known": {"of": of, "release": release, "runtime": needs}}
