"""The files of an inventory: which there are, and what is broken in them."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import is_encrypted

from orchestrator.inventory_child.secrets import remember

#: Folders beside an inventory whose files hold variables.
VARIABLE_FOLDERS = ("group_vars", "host_vars")


def variable_files(path: Path, playbooks: Path) -> Iterator[Path]:
    """The YAML files that Ansible would read for this inventory, so that all broken ones are found at once."""
    root = path if path.is_dir() else path.parent
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix in {".yml", ".yaml"} and not _ignored(file, path):
                yield file
    elif path.suffix in {".yml", ".yaml"}:
        yield path
    for base in (root, playbooks):
        for folder in VARIABLE_FOLDERS:
            for file in sorted((base / folder).rglob("*")):
                hidden = any(part.startswith(".") or part.endswith("~") for part in file.relative_to(base).parts)
                if file.is_file() and not hidden and file.suffix in {"", ".yml", ".yaml", ".json"}:
                    yield file


def _ignored(file: Path, root: Path) -> bool:
    parts = file.relative_to(root).parts
    patterns = [f"*{extension}" for extension in constants.INVENTORY_IGNORE_EXTS]
    return (
        any(part in VARIABLE_FOLDERS or part.startswith(".") for part in parts)
        or any(fnmatch.fnmatch(file.name, pattern) for pattern in patterns)
        or not file.is_file()
    )


def unreadable(loader: DataLoader, file: Path) -> dict[str, Any] | None:
    """What is wrong with a file of variables or hosts, if anything; what is right stays in the loader's cache."""
    try:
        data = loader.load_from_file(str(file), cache="all", unsafe=True, trusted_as_template=True)
        if is_encrypted(file.read_bytes()):
            remember(data)
    except (AnsibleError, OSError, ValueError) as error:
        return broken(file, error)
    if data is not None and not isinstance(data, dict):
        kind = type(data).__name__.removeprefix("_AnsibleTagged").lower()
        words = f"a mapping is wanted (key: value), this is of type {kind}"
        return {"file": str(file), "line": 1, "column": None, "words": words}
    return None


def broken(file: Path, error: BaseException) -> dict[str, Any]:
    """Position and words of the parser that stumbled, from the exception at the bottom of the chain."""
    cause: BaseException | None = error
    while cause is not None:
        mark = getattr(cause, "problem_mark", None)
        if mark is not None:
            context = getattr(cause, "context", None)
            begun = getattr(cause, "context_mark", None)
            words = str(getattr(cause, "problem", ""))
            if context:
                words += f" ({context}{f' that begins in line {begun.line + 1}' if begun else ''})"
            return {"file": str(file), "line": mark.line + 1, "column": mark.column + 1, "words": words}
        cause = cause.__cause__
    return {"file": str(file), "line": None, "column": None, "words": " ".join(str(error).split())}
