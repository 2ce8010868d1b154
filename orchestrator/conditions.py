"""Which requirements apply to a device. pip, asked to download, judges their conditions for the machine it runs on."""

from __future__ import annotations

import email.parser
import re
import zipfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from orchestrator.device_platform import Platform, WheelsError


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a wheel says about itself: its normalised name, and each ``Requires-Dist``."""

    name: str
    needs: tuple[Requirement, ...]


def read_requirements(file: Path) -> list[str]:
    """The requirements of a file without comments, as they are written.

    Raises:
        WheelsError: a line is an option of pip, such as ``-r`` or ``--index-url``, or no requirement at all.
    """
    found = []
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        line = re.sub(r"(^|\s)#.*", "", text).strip()
        if not line:
            continue
        if line.startswith("-"):
            raise WheelsError(f"{file}, line {number}: {line!r}: only packages may be listed, no options of pip")
        try:
            Requirement(line)
        except InvalidRequirement as problem:
            reason = str(problem).splitlines()[0]
            raise WheelsError(f"{file}, line {number}: {line!r} is no requirement: {reason}") from problem
        found.append(line)
    return found


def applying(lines: Iterable[str], platform: Platform) -> list[Requirement]:
    """The requirements that hold on such a device, without their conditions."""
    return [unconditional(line) for line in map(Requirement, lines) if _applies(line, platform, [""])]


@dataclass(frozen=True, slots=True)
class Closure:
    """What a device needs, compared with what was collected.

    Attributes:
        missing: requirements that no wheel fulfils.
        needless: wheels that nothing needs on the device: pip judged a condition for the machine it runs on.
    """

    missing: tuple[Requirement, ...]
    needless: tuple[Path, ...]


def closure(folder: Path, roots: Iterable[Requirement], platform: Platform) -> Closure:
    """Follow what is to be installed on such a device through the wheels of a folder.

    Args:
        folder: what was collected so far.
        roots: what is to be installed; their extras count.
        platform: the device's.
    """
    found = {path: read_metadata(path) for path in sorted(folder.glob("*.whl"))}
    wheels = {wheel.name: wheel for wheel in found.values()}
    absent: dict[str, Requirement] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = deque(roots)
    while queue:
        wanted = queue.popleft()
        name, extras = str(canonicalize_name(wanted.name)), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name not in wheels:
            absent[str(wanted)] = wanted
            continue
        queue.extend(
            unconditional(need) for need in wheels[name].needs if _applies(need, platform, sorted(extras | {""}))
        )
    needed = {name for name, _ in seen}
    return Closure(tuple(absent.values()), tuple(path for path, wheel in found.items() if wheel.name not in needed))


def read_metadata(wheel: Path) -> Metadata:
    """A wheel's own words.

    Source: the `core metadata <https://packaging.python.org/en/latest/specifications/core-metadata/>`_.

    Raises:
        WheelsError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            said = email.parser.BytesParser().parsebytes(archive.read(name), headersonly=True)
    except (StopIteration, zipfile.BadZipFile) as problem:
        raise WheelsError(f"{wheel.name} is damaged or no wheel: replace it") from problem
    needs = tuple(Requirement(str(line)) for line in said.get_all("Requires-Dist", []))
    return Metadata(str(canonicalize_name(str(said["Name"]))), needs)


def unconditional(requirement: Requirement) -> Requirement:
    """The same requirement for every environment."""
    bare = Requirement(str(requirement))
    bare.marker = None
    return bare


def _applies(requirement: Requirement, platform: Platform, extras: list[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({**environment, "extra": extra}) for environment in platform.environments() for extra in extras
    )
