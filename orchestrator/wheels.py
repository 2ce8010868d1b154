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
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator import artifact, runtime
from orchestrator.errors import OrchestratorError

#: Architectures (as ``uname -m`` spells them) for which the runtime's Kafka client has wheels.
ARCHITECTURES = ("x86_64", "aarch64")
#: The newest C library that a wheel may ask for: Debian 12, Ubuntu 23.04 and later have at least this.
NEWEST_GLIBC = 28
OLDEST_GLIBC = 5
#: Which files of a bundle are installed: one requirement a line, local wheels by their file name.
INSTALL_LIST = "install.txt"


class WheelsError(OrchestratorError):
    """The wheels cannot be had. The text says what to change."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Wheels for one platform, ready to be pushed.

    Attributes:
        checksum: first 12 hex digits of the SHA-256 over everything that was asked for.
        tarball: absolute path of the archive: the wheels, pip's own wheel and ``install.txt``.
        wheels: their file names, sorted; pip's own included.
        cached: True when nothing had to be fetched or built.
    """

    checksum: str
    tarball: str
    wheels: tuple[str, ...]
    cached: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be installed, and for which platform.

    Attributes:
        python: the device's Python, ``major.minor``.
        arch: the device's architecture, one of :data:`ARCHITECTURES`.
        requirements: requirement files.
        sources: project folders that are built here; pure Python, so one wheel fits every device.
        wheels: wheels that exist already.
        constraints: file of exact versions, None for the newest that fit.
    """

    python: str
    arch: str
    requirements: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()
    wheels: tuple[Path, ...] = ()
    constraints: Path | None = None

    def checksum(self) -> str:
        """Name of this request's bundle in the cache.

        Raises:
            WheelsError: something that was named does not exist, or the platform has no wheels.
        """
        if self.arch not in ARCHITECTURES:
            raise WheelsError(
                f"no wheels of the Kafka client exist for {self.arch}: a device needs a 64-bit system "
                f"({' or '.join(ARCHITECTURES)}); on a Raspberry Pi install the 64-bit Raspberry Pi OS"
            )
        if not re.fullmatch(r"3\.\d+", self.python):
            raise WheelsError(f"{self.python!r} is not a Python version: write major.minor, such as 3.11")
        digest = hashlib.sha256(f"{self.python} {self.arch} {_pip_version()}\n".encode())
        for path in (*self.requirements, *self.wheels, *([self.constraints] if self.constraints else [])):
            if not path.is_file():
                raise WheelsError(f"{path} is not a file: correct the path, relative ones start at {Path.cwd()}")
            digest.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
        for source in self.sources:
            digest.update(f"{source.name} {runtime.source_checksum(source)}\n".encode())
        return digest.hexdigest()[: artifact.CHECKSUM_DIGITS]


def collect(request: Request, into: Path) -> Bundle:
    """Collect the wheels of a request into ``into/<checksum>.tar.gz``; cached.

    Two runs at once wait for each other: the second finds the first one's result.

    Raises:
        WheelsError: a wheel does not exist for the platform, or the registry cannot be reached.
    """
    checksum = request.checksum()
    tarball, listing = into.resolve() / f"{checksum}.tar.gz", into.resolve() / f"{checksum}.json"
    if not (listing.exists() and tarball.exists()):
        into.mkdir(parents=True, exist_ok=True)
        with _alone(into / f".{checksum}.lock"):
            if not (listing.exists() and tarball.exists()):
                wheels = _fetch(request, tarball)
                partial = listing.with_suffix(f".{os.getpid()}")
                partial.write_text(json.dumps(wheels))
                partial.replace(listing)
                return Bundle(checksum, str(tarball), tuple(wheels), cached=False)
    return Bundle(checksum, str(tarball), tuple(json.loads(listing.read_text())), cached=True)


def platforms(arch: str) -> list[str]:
    """Wheel platform tags that a device of this architecture can load, newest first."""
    return [f"manylinux_2_{minor}_{arch}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)] + [
        f"manylinux2014_{arch}",
        f"linux_{arch}",
    ]


def _fetch(request: Request, tarball: Path) -> list[str]:
    """Let pip do the work in a temporary folder, then write the archive. Returns the wheels' names."""
    with tempfile.TemporaryDirectory(prefix=".collect-", dir=tarball.parent) as scratch:
        folder = Path(scratch)
        for source in request.sources:
            # Absolute, since pip would take 'fogverse' for a package of the registry.
            # Without isolation pip does not have to fetch the build tools, if they are here.
            isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
            _pip(["wheel", "--no-deps", *isolation, "--wheel-dir", scratch, str(source.resolve())], request)
        for wheel in request.wheels:
            shutil.copy(wheel, folder)
        local = sorted(path.name for path in folder.glob("*.whl"))
        install = [f"./{name}" for name in local]
        for requirements in request.requirements:
            install += _requirement_lines(requirements)
        (folder / INSTALL_LIST).write_text("".join(f"{line}\n" for line in install))
        target = [flag for tag in platforms(request.arch) for flag in ("--platform", tag)]
        _pip(
            ["download", "--dest", scratch, "--only-binary", ":all:", "--python-version", request.python]
            + ["--implementation", "cp", *target]
            + (["--constraint", str(request.constraints)] if request.constraints else [])
            + [str(folder / name) for name in local]
            + [flag for path in request.requirements for flag in ("--requirement", str(path))],
            request,
        )
        _pip(["download", "--dest", scratch, "--no-deps", f"pip=={_pip_version()}"], request)
        artifact.write_tarball(artifact.folder_members(folder), tarball)
        return sorted(path.name for path in folder.glob("*.whl"))


def _pip(arguments: list[str], request: Request) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).strip().splitlines()]
        errors = [line for line in lines if re.match(r"ERROR: |\w*Error: ", line)] or lines[-3:]
        raise WheelsError(
            f"pip {arguments[0]} for Python {request.python} on {request.arch} failed: {' '.join(errors)} "
            "(wheels are collected on this machine, which needs a registry the first time; a package without "
            "a wheel for the device has to be replaced, or built once and listed by its path)"
        )


def _pip_version() -> str:
    try:
        return importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError as missing:
        raise WheelsError(
            f"pip is missing in {sys.prefix}: run '{sys.executable} -m ensurepip', or 'make setup'"
        ) from missing


def _requirement_lines(requirements: Path) -> list[str]:
    """Requirements without comments; options such as ``-r`` or ``--index-url`` are refused."""
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in requirements.read_text().splitlines()]
    for line in lines:
        if line.startswith("-"):
            raise WheelsError(f"{requirements}: {line!r}: only packages may be listed, no options of pip")
    return [line for line in lines if line]


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
        python=options.python,
        arch=options.arch,
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
