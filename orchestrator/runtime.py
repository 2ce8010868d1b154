"""The runtime that devices get: what identifies it.

A device records the checksum of the runtime it has; one that differs is replaced, one that is the same is left alone.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

from orchestrator import artifact
from orchestrator.errors import OrchestratorError

#: Parts of a project that do not change what is installed from it.
_NOT_INSTALLED = ("build/", "dist/", "docs/", "tests/")


class RuntimeSourceError(OrchestratorError):
    """The runtime's source cannot be used. The text says what to change."""


def checksum(source: Path, constraints: Path | None) -> str:
    """Name of a runtime: its source and the exact versions of its direct dependencies.

    Other lines of the constraints do not count: a newer linter must not reinstall every device.

    Raises:
        RuntimeSourceError: ``source`` is not a Python project.
    """
    digest = hashlib.sha256(source_checksum(source).encode())
    wanted = {_distribution(line) for line in _dependencies(source)}
    for line in constraints.read_text().splitlines() if constraints else ():
        if _distribution(line) in wanted:
            digest.update(f"{line.strip()}\n".encode())
    return digest.hexdigest()[: artifact.CHECKSUM_DIGITS]


def source_checksum(source: Path) -> str:
    """Checksum of what a project's wheel is built from: neither its tests nor its prose.

    Raises:
        RuntimeSourceError: ``source`` is not a Python project.
    """
    if not (source / "pyproject.toml").is_file():
        raise RuntimeSourceError(f"{source} has no pyproject.toml: name the folder of the runtime's project")
    members = [
        (name, path)
        for name, path in artifact.folder_members(source)
        if not name.startswith(_NOT_INSTALLED) and not name.endswith(".md") and ".egg-info/" not in name
    ]
    return artifact.content_checksum(iter(members))


def _dependencies(source: Path) -> list[str]:
    project = tomllib.loads((source / "pyproject.toml").read_text()).get("project", {})
    return [str(line) for line in project.get("dependencies", ())]


def _distribution(requirement: str) -> str:
    """Normalised name at the start of a requirement line, '' for a comment or an empty line."""
    name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return re.sub(r"[-_.]+", "-", name[1]).lower() if name else ""
