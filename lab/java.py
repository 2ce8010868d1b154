"""Java commands that run classes of the collected jars."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError

#: Ready-parsed classes of a broker; halves its start. Java ignores one that does not fit it.
ARCHIVE = "classes.jsa"

#: A small broker that starts fast: quick compiler only, one garbage collector thread.
_OPTIONS = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_LOG4J = Path(__file__).with_name("assets") / "log4j2.properties"


def java_home() -> Path:
    """The folder of this machine's Java.

    Raises:
        LabError: there is none.
    """
    return Path(_java()).resolve().parent.parent


def java_folders() -> list[Path]:
    """What another system on this machine must see to run its Java: Debian keeps the settings in ``/etc``."""
    home = java_home()
    links = (
        Path(folder) / name for part in ("conf", "lib") for folder, _, names in os.walk(home / part) for name in names
    )
    targets = (link.readlink() for link in links if link.is_symlink())
    outside = {target.parent for target in targets if target.is_absolute() and target.parent.is_dir()}
    return [home, *sorted(folder for folder in outside if not outside & set(folder.parents))]


def java_command(jars: Path, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
    """The command that runs the class ``main`` of the jars in the folder ``jars``.

    Raises:
        LabError: Java or the jars are missing.
    """
    java = _java()
    # Sorted, since the class archive only fits the very class path it was made with.
    files = sorted(str(jar) for jar in jars.glob("*.jar"))
    if not files:
        raise LabError(f"no broker jars in {jars}: 'orchestrator lab kafka up' collects them")
    archive = jars / ARCHIVE
    shared = [f"-XX:SharedArchiveFile={archive}"] if archive.is_file() and not options else []
    return [
        java, *_OPTIONS, *shared, *options, f"-Dlog4j2.configurationFile={_LOG4J}",
        "-cp", ":".join(files), main, *arguments,
    ]  # fmt: skip


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise LabError("Java is missing: apt-get install openjdk-17-jre-headless maven")
    return java
