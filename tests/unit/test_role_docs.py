"""What the roles say about themselves is what they are: variables, defaults, tags, and what travels with them."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.project import PROJECT

ROLES = sorted(path.parent.parent for path in (PROJECT / "roles").glob("*/defaults/main.yml"))
PROGRAMS = Path(sys.executable).parent


def parsed(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_variable_of_a_role_is_described_and_checked(role: Path) -> None:
    """Lost: a variable that only the source tells of, or a wrong value that fails deep inside a task."""
    defaults = parsed(role / "defaults" / "main.yml")
    specified: dict[str, Any] = {}
    for entry in parsed(role / "meta" / "argument_specs.yml")["argument_specs"].values():
        specified |= entry.get("options", {})
    readme = (role / "README.md").read_text(encoding="utf-8")
    for name, value in defaults.items():
        assert name in specified, f"{name} is missing in argument_specs.yml"
        assert f"`{name}`" in readme, f"{name} is missing in README.md"
        said = specified[name].get("default")
        if "default" in specified[name]:
            same = list(map(str, value)) == list(map(str, said)) if isinstance(value, list) else value == said
            assert same, f"{name} is {value!r} in defaults/main.yml and {said!r} in argument_specs.yml"
        else:
            assert "{{" in str(value), f"the default of {name} is missing in argument_specs.yml"


def test_the_tags_of_the_device_role_are_those_that_its_page_lists() -> None:
    """Lost: `--tags journal` runs nothing, and says that all went well."""
    listed = subprocess.run(
        [str(PROGRAMS / "ansible-playbook"), "-i", "localhost,", "--list-tags", "playbooks/site.yml"],
        cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    found = re.search(r"TASK TAGS: \[(.*)\]", listed)
    assert found is not None
    page = (PROJECT / "roles/fogverse_device/README.md").read_text(encoding="utf-8")
    table = page.split("## Tags")[1].split("##")[0]
    described = {tag for row in re.findall(r"^\|(.*?)\|", table, re.MULTILINE) for tag in re.findall(r"`(\w+)`", row)}
    # 'device' and 'services' are the playbook's own, 'always' is Ansible's.
    assert set(found[1].split(", ")) - {"always", "device", "services"} == described


def test_the_collection_holds_what_its_roles_run_and_nothing_of_the_workshop(tmp_path: Path) -> None:
    """Lost: an installed role that fails at the controller, or a download with somebody's inventory in it."""
    subprocess.run(
        [str(PROGRAMS / "ansible-galaxy"), "collection", "build", "--output-path", str(tmp_path)],
        cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = set(archive.getnames())
    needed = {"constraints.txt", "fogverse/pyproject.toml", "fogverse/src/fogverse/cli.py", "meta/runtime.yml"}
    needed |= {f"orchestrator/{name}.py" for name in ("__init__", "wheels", "artifact", "conditions", "pip", "runtime")}
    needed |= {f"roles/{role.name}/tasks/main.yml" for role in ROLES}
    assert needed <= names
    tops = {name.split("/")[0] for name in names}
    assert not tops & {"tests", "lab", "benchmarks", "inventory", "examples", ".lab", ".cache", ".venv", ".git"}
    assert not [name for name in names if "__pycache__" in name]
