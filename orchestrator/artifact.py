"""Artifacts: the user's code as one deterministic archive, named by the checksum of its content.

The same folder gives the same checksum and the same bytes on every machine, so a device that has
the release need not receive it again. Works as ``python -m orchestrator.artifact pack FOLDER --into DIR``
(the playbooks use it so) and as the function :func:`pack`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.errors import OrchestratorError

#: Hex digits of a checksum: 48 bits, enough to tell releases of one service apart, short enough to read out.
CHECKSUM_DIGITS = 12
REQUIREMENTS = "requirements.txt"


class ArtifactError(OrchestratorError):
    """The artifact cannot be packed. The text says what to change."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A packed artifact.

    Attributes:
        checksum: first 12 hex digits of the SHA-256 over the sorted relative paths and contents.
        tarball: absolute path of the archive of the folder's files; None for a wheel.
        requirements: absolute path of the folder's requirements.txt; None when there is none.
        wheel: absolute path of the wheel, when the artifact is one; None for a folder.
        megabytes: size of its files, unpacked, in units of 10^6 bytes.
    """

    checksum: str
    tarball: str | None
    requirements: str | None
    wheel: str | None
    megabytes: float


def checksum(artifact: Path) -> str:
    """Checksum of a folder's or a wheel's content, without packing it.

    Raises:
        ArtifactError: the path does not exist, is empty or holds something that cannot be shipped.
    """
    return content_checksum(_members(artifact))


def pack(artifact: Path, into: Path) -> Artifact:
    """Pack a folder into ``into/<checksum>.tar.gz``; a wheel is an archive already and stays as it is.

    Left out: ``__pycache__``, and files and folders whose name starts with a dot. Nothing is written
    when the archive of this content is there already, and whole.

    Raises:
        ArtifactError: the path does not exist, is empty or holds something that cannot be shipped.
    """
    members = list(_members(artifact))
    digest = content_checksum(iter(members))
    megabytes = round(sum(path.stat().st_size for _, path in members) / 1e6, 1)
    if artifact.suffix == ".whl":
        return Artifact(digest, tarball=None, requirements=None, wheel=str(artifact.resolve()), megabytes=megabytes)
    tarball = into.resolve() / f"{digest}.tar.gz"
    if not _holds(tarball, digest):
        write_tarball(members, tarball)
    requirements = artifact / REQUIREMENTS
    return Artifact(
        digest,
        tarball=str(tarball),
        requirements=str(requirements.resolve()) if requirements.is_file() else None,
        wheel=None,
        megabytes=megabytes,
    )


def content_checksum(members: Iterator[tuple[str, Path]]) -> str:
    """Checksum over pairs of relative path and file, which must come sorted."""
    return _checksum((name, path.read_bytes()) for name, path in members)


def folder_members(folder: Path) -> list[tuple[str, Path]]:
    """Relative paths (with forward slashes, sorted) and files of a folder that are shipped.

    Raises:
        ArtifactError: it holds a link that leads out of the folder, or a device, pipe or socket.
    """
    root = folder.resolve()
    found: list[tuple[str, Path]] = []
    for directory, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if _shipped(name)]
        for name in [*files, *(s for s in subfolders if (Path(directory) / s).is_symlink())]:
            path = Path(directory) / name
            if not _shipped(name):
                continue
            relative = path.relative_to(root).as_posix()
            if not path.resolve().is_relative_to(root) or not path.is_file():
                raise ArtifactError(
                    f"{folder}/{relative} is neither a regular file nor a link to one inside the folder: "
                    "replace it by a copy of what it points to, or remove it"
                )
            found.append((relative, path))
    return sorted(found)


def write_tarball(members: list[tuple[str, Path]], tarball: Path) -> None:
    """Write a tar.gz that depends on nothing but the members' names and contents; atomic."""
    tarball.parent.mkdir(parents=True, exist_ok=True)
    partial = tarball.with_name(f".{tarball.name}.{os.getpid()}")
    with (
        partial.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, path in members:
            # Owner, mode and time of the files here mean nothing on the device: TarInfo's defaults are
            # root, epoch; the checksum does not cover the mode, so the archive must not either.
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    partial.replace(tarball)


def _checksum(contents: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in contents:
        # Lengths keep two different trees from giving the same stream of bytes.
        digest.update(f"{len(name)} {name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:CHECKSUM_DIGITS]


def _holds(tarball: Path, digest: str) -> bool:
    """Whether an archive is there and has the content that its name promises: what is damaged must not be pushed."""
    try:
        with gzip.open(tarball) as raw, tarfile.open(fileobj=raw) as archive:
            files = ((member.name, archive.extractfile(member)) for member in archive)
            found = _checksum((name, file.read()) for name, file in files if file is not None)
            while raw.read(1 << 20):
                pass  # to the end, where gzip's own checksum is
    except (OSError, EOFError, tarfile.TarError, zlib.error):
        return False
    return found == digest


def _members(artifact: Path) -> Iterator[tuple[str, Path]]:
    if artifact.is_file() and artifact.suffix == ".whl":
        return iter([(artifact.name, artifact)])
    if not artifact.is_dir():
        raise ArtifactError(
            f"artifact {artifact} is neither a folder nor a wheel (.whl): "
            "correct 'artifact' of the service; relative paths start at the project's folder"
        )
    members = folder_members(artifact)
    if not members:
        raise ArtifactError(f"artifact {artifact} holds no files: put the service's code there")
    return iter(members)


def _shipped(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__"


def main(arguments: list[str] | None = None) -> int:
    """Command line: prints the artifact as one JSON object; exit code 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.artifact", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="archive a folder under its content's checksum")
    packing.add_argument("artifact", type=Path)
    packing.add_argument("--into", type=Path, required=True, help="folder of the archives")
    options = parser.parse_args(arguments)
    try:
        packed = pack(options.artifact.expanduser(), options.into)
    except (OrchestratorError, OSError) as problem:
        print(f"orchestrator.artifact: {problem}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(packed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
