"""Wheels for devices: collected here for the device's Python and architecture, and pushed in one archive.

A device has no route to a package registry. ``python -m orchestrator.wheels collect`` asks pip for the
wheels that fit the *device* (not this machine), builds the project's own sources, and caches the result
by the checksum of everything that went in: a second run opens no connection.
``python -m orchestrator.wheels checksum`` names what a device should have, without collecting anything.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from orchestrator import artifact, conditions, pip, runtime
from orchestrator.device_platform import NEWEST_GLIBC, Platform, WheelsError
from orchestrator.errors import OrchestratorError

#: Which files of a bundle are installed: one requirement a line, local wheels by their file name.
INSTALL_LIST = "install.txt"
#: How often what was collected may turn out to need more, for a reason that pip does not see here.
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Bundle:
    """Wheels for one platform, ready to be pushed.

    Attributes:
        checksum: first 12 hex digits of the SHA-256 over everything that was asked for.
        content: first 12 hex digits of the SHA-256 of the archive: what asks for it in other words has the same.
        tarball: absolute path of the archive: the wheels, pip's own wheel and ``install.txt``.
        wheels: their file names, sorted; pip's own included.
        megabytes: size of the archive, in units of 10^6 bytes.
        unpacked: size of what is in the wheels, in the same units.
        cached: True when nothing had to be fetched or built.
    """

    checksum: str
    content: str
    tarball: str
    wheels: tuple[str, ...]
    megabytes: float
    unpacked: float
    cached: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be installed, and for which platform.

    Attributes:
        platform: the device's.
        requirements: requirement files.
        sources: project folders that are built here; pure Python, so one wheel fits every device.
        wheels: wheels that exist already.
        constraints: file of exact versions, None for the newest that fit.
    """

    platform: Platform
    requirements: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()
    wheels: tuple[Path, ...] = ()
    constraints: Path | None = None

    def checksum(self) -> str:
        """Name of this request's bundle in the cache.

        Raises:
            WheelsError: something that was named does not exist.
        """
        digest = hashlib.sha256(f"{self.platform} {NEWEST_GLIBC} {pip.version()}\n".encode())
        for path in (*self.requirements, *self.wheels, *([self.constraints] if self.constraints else [])):
            if not path.is_file():
                raise WheelsError(f"{path} is not a file: correct the path, relative ones start at {Path.cwd()}")
            digest.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
        for source in self.sources:
            digest.update(f"{source.name} {runtime.source_checksum(source)}\n".encode())
        return digest.hexdigest()[: artifact.CHECKSUM_DIGITS]


def collect(request: Request, into: Path) -> Bundle:
    """Collect the wheels of a request into ``into/<checksum>.tar.gz``; cached.

    An archive that is not as it was written is collected anew. Two runs at once wait for each other: the
    second finds the first one's result.

    Raises:
        WheelsError: a wheel does not exist for the platform, or the registry cannot be reached.
    """
    into.mkdir(parents=True, exist_ok=True)
    checksum = request.checksum()
    tarball = into.resolve() / f"{checksum}.tar.gz"
    if found := _cached(checksum, tarball):
        return found
    with _alone(into / f".{checksum}.lock"):
        if found := _cached(checksum, tarball):
            return found
        wheels, size = _fetch(request, tarball)
        listing = _listing(tarball)
        partial = listing.with_suffix(f".{os.getpid()}")
        noted = {"sha256": _digest(tarball), "wheels": wheels, "unpacked": size}
        partial.write_text(json.dumps(noted))
        partial.replace(listing)
        return _bundle(checksum, tarball, noted, _digest(tarball), cached=False)


def _cached(checksum: str, tarball: Path) -> Bundle | None:
    """The bundle of an earlier run, if its archive is whole: what is damaged must not reach a device."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        noted = json.loads(_listing(tarball).read_text())
        digest = _digest(tarball)
        if noted["sha256"] == digest:
            return _bundle(checksum, tarball, noted, digest, cached=True)
    return None


def _bundle(checksum: str, tarball: Path, noted: dict[str, Any], digest: str, *, cached: bool) -> Bundle:
    content = digest[: artifact.CHECKSUM_DIGITS]
    megabytes = round(tarball.stat().st_size / 1e6, 1)
    unpacked = round(int(noted["unpacked"]) / 1e6, 1)
    return Bundle(checksum, content, str(tarball), tuple(noted["wheels"]), megabytes, unpacked, cached)


def _unpacked(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return sum(member.file_size for member in archive.infolist())


def _listing(tarball: Path) -> Path:
    return tarball.with_name(tarball.name.replace(".tar.gz", ".json"))


def _digest(tarball: Path) -> str:
    with tarball.open("rb") as archive:
        return hashlib.file_digest(archive, "sha256").hexdigest()


def _fetch(request: Request, tarball: Path) -> tuple[list[str], int]:
    """Let pip do the work in a temporary folder, then write the archive. Returns the wheels and their bytes."""
    lines = [line for file in request.requirements for line in conditions.read_requirements(file)]
    mine = f".collect-{tarball.name.partition('.')[0]}-"
    for left in tarball.parent.glob(f"{mine}*"):  # by one that was killed: a run that is broken off is
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=mine, dir=tarball.parent) as scratch:
        folder = Path(scratch)
        for source in request.sources:
            # Absolute, since pip would take 'fogverse' for a package of the registry.
            # Without isolation pip does not have to fetch the build tools, if they are here.
            isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
            build = ["wheel", "--no-deps", *isolation, "--wheel-dir", scratch, str(source.resolve())]
            pip.run(build, request.platform)
        for wheel in request.wheels:
            shutil.copy(wheel, folder)
        local = sorted(folder.glob("*.whl"))
        _download(request, folder, local, conditions.applying(lines, request.platform))
        pip.run(["download", "--dest", scratch, "--no-deps", f"pip=={pip.version()}"], request.platform)
        install = [*(f"./{wheel.name}" for wheel in local), *lines]
        (folder / INSTALL_LIST).write_text("".join(f"{line}\n" for line in install))
        artifact.write_tarball(artifact.folder_members(folder), tarball)
        wheels = sorted(folder.glob("*.whl"))
        return [wheel.name for wheel in wheels], sum(map(_unpacked, wheels))


def _download(request: Request, folder: Path, local: list[Path], wanted: list[Requirement]) -> None:
    """Fetch what is wanted and everything that it needs on the device, and nothing that it would need only here."""
    roots = [*wanted, *(Requirement(conditions.read_metadata(wheel).name) for wheel in local)]
    options = ["--dest", str(folder), "--only-binary", ":all:", "--implementation", "cp"]
    options += ["--python-version", request.platform.python]
    options += [flag for tag in request.platform.tags() for flag in ("--platform", tag)]
    options += ["--constraint", str(request.constraints)] if request.constraints else []
    more: list[Requirement] = []
    for _ in range(_ROUNDS):
        asked = [*map(str, local), *(str(line) for line in (*wanted, *more))]
        if asked:
            pip.run(["download", *options, *asked], request.platform)
        found = conditions.closure(folder, roots, request.platform)
        if not found.missing:
            for wheel in found.needless:
                wheel.unlink()
            return
        more += found.missing
    names = ", ".join(str(requirement) for requirement in found.missing)
    raise WheelsError(f"wheels for {request.platform} still need {names}: list these in the requirements")


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main(arguments: list[str] | None = None) -> int:
    """Command line: prints one JSON object; exit code 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.wheels", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect", help="wheels for a device's platform, as one archive")
    collecting.add_argument("--python", required=True, help="the device's Python, such as 3.11")
    collecting.add_argument("--arch", required=True, help="the device's architecture, such as aarch64")
    collecting.add_argument("--requirement", type=Path, action="append", default=[])
    collecting.add_argument("--source", type=Path, action="append", default=[], help="project to build")
    collecting.add_argument("--wheel", type=Path, action="append", default=[])
    collecting.add_argument("--into", type=Path, required=True, help="folder of the archives: the cache")
    naming = commands.add_parser("checksum", help="what a device should have: runtime and release")
    naming.add_argument("--source", type=Path, required=True, help="project of the runtime")
    naming.add_argument("--artifact", type=Path, help="folder or wheel of a service")
    for command in (collecting, naming):
        command.add_argument("--constraints", type=Path, help="file of exact versions")
    options = parser.parse_args(arguments)
    try:
        print(json.dumps(_collected(options) if options.command == "collect" else _named(options)))
    except (OrchestratorError, OSError) as problem:
        print(f"orchestrator.wheels: {problem}", file=sys.stderr)
        return 1
    return 0


def _collected(options: argparse.Namespace) -> dict[str, object]:
    request = Request(
        platform=Platform(options.python, options.arch),
        requirements=tuple(options.requirement),
        sources=tuple(options.source),
        wheels=tuple(options.wheel),
        constraints=options.constraints,
    )
    return asdict(collect(request, options.into))


def _named(options: argparse.Namespace) -> dict[str, object]:
    release = artifact.checksum(options.artifact.expanduser()) if options.artifact else None
    return {"runtime": runtime.checksum(options.source, options.constraints), "release": release}


if __name__ == "__main__":
    sys.exit(main())
