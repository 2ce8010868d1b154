"""Says which Kafka a tarball or a folder of jars is, and packs a folder: ``distribution.py DIST CACHE``.

Run by the role on the controller, with the standard library alone. Prints ``{"version", "release", "archive"}`` as
JSON, or what is wrong with DIST, and ends with exit code 1 then.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

#: What the broker, its log and the commands that the role asks with are made of.
_NEEDED = ("kafka-clients", "kafka-server", "kafka-tools", "log4j-core", "log4j-slf4j")
_BROKER = re.compile(r"kafka_2\.1[0-9]-(([0-9]+)\.[0-9]+\.[0-9]+\S*)\.jar")
_OLDEST = 4


def main() -> int:
    """Look at DIST; returns the exit code."""
    dist, cache = Path(sys.argv[1]).expanduser(), Path(sys.argv[2]).expanduser()
    try:
        if dist.is_dir():
            jars = sorted(dist.glob("*.jar")) or sorted((dist / "libs").glob("*.jar"))
            version, checksum = _version(jar.name for jar in jars), _of_jars(jars)
            archive = cache / f"kafka-{version}-{checksum}.tar"
            if not archive.exists():
                _pack(jars, archive)
        else:
            version, checksum = _version(_inside(dist)), _of_file(dist)
            archive = dist.absolute()
    except (OSError, EOFError, ValueError, tarfile.TarError) as problem:
        print(f"kafka_broker_dist {dist}: {problem}")
        return 1
    print(json.dumps({"version": version, "release": f"{version}-{checksum}", "archive": str(archive)}))
    return 0


def _inside(tarball: Path) -> list[str]:
    """The names of the jars in ``ANYTHING/libs/`` of a tarball."""
    with tarfile.open(tarball) as tar:
        parts = [name.removeprefix("./").split("/") for name in tar.getnames()]
    return [part[2] for part in parts if len(part) == 3 and part[1] == "libs"]  # noqa: PLR2004


def _version(names: Iterable[str]) -> str:
    jars = list(names)
    brokers = [found for name in jars if (found := _BROKER.fullmatch(name))]
    if len(brokers) != 1:
        raise ValueError(
            f"it has {len(brokers)} jars named kafka_2.13-VERSION.jar, not one: give kafka_2.13-VERSION.tgz as "
            "kafka.apache.org has it, or a folder with its jars"
        )
    if int(brokers[0][2]) < _OLDEST:
        raise ValueError(f"it is Kafka {brokers[0][1]}: {_OLDEST}.0 or newer is needed")
    missing = [name for name in _NEEDED if not any(jar.startswith(name) for jar in jars)]
    if missing:
        raise ValueError(f"it lacks the jars of {', '.join(missing)}")
    return brokers[0][1]


def _of_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def _of_jars(jars: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for jar in jars:
        digest.update(f"{jar.name} {_of_file(jar)}\n".encode())
    return digest.hexdigest()[:12]


def _pack(jars: Iterable[Path], archive: Path) -> None:
    """Write a tarball of the same form as the official one; it gets its name when it is complete."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=archive.parent, suffix=".new", delete=False) as stream:
        aside = Path(stream.name)
    try:
        with tarfile.open(aside, "w") as tar:
            for jar in jars:
                tar.add(jar, f"kafka/libs/{jar.name}", filter=_plain)
        aside.chmod(0o644)
        aside.replace(archive)
    finally:
        aside.unlink(missing_ok=True)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = 0o644
    return info


if __name__ == "__main__":
    sys.exit(main())
