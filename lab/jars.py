"""The jars of Apache Kafka, collected once with Maven."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab import files
from lab.broker import LocalBroker
from lab.errors import LabError
from lab.java import ARCHIVE
from lab.locks import locked
from lab.ports import free_port

_POM = Path(__file__).with_name("assets") / "pom.xml"
_MARKER = ".complete"


def collect(folder: Path, say: Callable[[str], None] = lambda _line: None) -> Path:
    """Fill ``folder`` with the jars of a broker, unless it holds them; returns ``folder``.

    Args:
        folder: emptied first when it holds the jars of another version.
        say: told what takes long.

    Raises:
        LabError: Java or Maven is missing, or Maven failed.
    """
    key = hashlib.sha256(_POM.read_bytes()).hexdigest()
    if _is_complete(folder, key):
        return folder
    with locked(folder.with_name(f"{folder.name}.lock"), timeout_s=600):
        if not _is_complete(folder, key):
            say("collecting the broker's jars with Maven (44 MB, once)")
            _copy(folder)
            say("preparing the broker's classes for a fast start (once)")
            _archive_classes(folder)
            files.write(folder / _MARKER, key + "\n")
    return folder


def _is_complete(folder: Path, key: str) -> bool:
    marker = folder / _MARKER
    return marker.is_file() and marker.read_text().strip() == key


def _copy(folder: Path) -> None:
    if not (shutil.which("java") and shutil.which("mvn")):
        raise LabError("Java or Maven is missing: apt-get install openjdk-17-jre-headless maven")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as aside:
        done = subprocess.run(
            [
                "mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies",
                "-DincludeScope=runtime", f"-DoutputDirectory={aside}/jars",
            ],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            words = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
            raise LabError(f"Maven cannot collect the jars: {words[0]} (does this machine reach a Maven repository?)")
        shutil.rmtree(folder, ignore_errors=True)
        (Path(aside) / "jars").rename(folder)


def _archive_classes(folder: Path) -> None:
    """Let a throw-away broker write its loaded classes at its end; ready-parsed they halve a start."""
    archive = folder / ARCHIVE
    aside = archive.with_suffix(".new")
    options = ("-XX:+IgnoreUnrecognizedVMOptions", f"-XX:ArchiveClassesAtExit={aside}")
    with tempfile.TemporaryDirectory(prefix="fogverse-broker-") as place:
        broker = LocalBroker(Path(place) / "kafka", folder, port=free_port(), java_options=options)
        try:
            broker.up()
        finally:
            broker.purge()
    if aside.exists():  # another Java may not know how
        aside.rename(archive)
