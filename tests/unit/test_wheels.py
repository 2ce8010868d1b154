"""Wheels for devices: the right ones, fetched once, and failures that say what to do. pip itself is replaced here."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import runtime, wheels
from orchestrator.device_platform import NEWEST_GLIBC, Platform, WheelsError
from orchestrator.errors import OrchestratorError
from orchestrator.wheels import Request, collect, main


def write_wheel(folder: Path, name: str, needs: tuple[str, ...] = ()) -> None:
    metadata = "".join(f"Requires-Dist: {line}\n" for line in needs)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        said = zipfile.ZipInfo(f"{name}-1.0.dist-info/METADATA")  # of a fixed date
        archive.writestr(said, f"Metadata-Version: 2.1\nName: {name}\n{metadata}\n")


class Pip:
    """Stands where pip would run: notes what it was asked for and leaves wheels as pip does."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.refuse: str | None = None
        self.needs: dict[str, tuple[str, ...]] = {}
        self.leaves: dict[str, tuple[str, ...]] = {}

    def __call__(self, command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        arguments = command[command.index("--no-input") + 1 :]
        self.calls.append(arguments)
        if self.refuse:
            return subprocess.CompletedProcess(command, 1, "", self.refuse)
        if arguments[0] == "wheel":
            write_wheel(Path(arguments[arguments.index("--wheel-dir") + 1]), "fogverse", ("confluent-kafka",))
            return subprocess.CompletedProcess(command, 0, "", "")
        folder = Path(arguments[arguments.index("--dest") + 1])
        for name, needs in self.leaves.items() if "--only-binary" in arguments else ():
            write_wheel(folder, name, needs)
        if arguments[-1].endswith("fogverse-1.0-py3-none-any.whl"):
            write_wheel(folder, "confluent_kafka")
        for name in self.fetched():
            write_wheel(folder, name.replace("-", "_"), self.needs.get(name, ()))
        return subprocess.CompletedProcess(command, 0, "", "")

    def fetched(self) -> list[str]:
        """Names that the last download asked for."""
        packages = self.calls[-1][self.calls[-1].index("--dest") + 2 :]
        named = [package for package in packages if "==" in package and not package.startswith("-")]
        return [package.split("==")[0].split("[")[0] for package in named]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    fake = Pip()
    monkeypatch.setattr(subprocess, "run", fake)
    return fake


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "fogverse"
    (root / "src" / "fogverse").mkdir(parents=True)
    (root / "src" / "fogverse" / "__init__.py").write_text("")
    (root / "pyproject.toml").write_text('[project]\nname = "fogverse"\ndependencies = ["Confluent_Kafka>=2.12,<3"]\n')
    (root / "README.md").write_text("# fogverse\n")
    return root


@pytest.fixture
def constraints(tmp_path: Path) -> Path:
    path = tmp_path / "constraints.txt"
    path.write_text("# exact versions\nconfluent-kafka==2.16.1\nruff==0.17.6\n")
    return path


def request_for(source: Path, constraints: Path | None = None, python: str = "3.11", arch: str = "x86_64") -> Request:
    return Request(Platform(python, arch), sources=(source,), constraints=constraints)


def test_a_second_run_asks_no_registry(pip: Pip, source: Path, constraints: Path, tmp_path: Path) -> None:
    first = collect(request_for(source, constraints), tmp_path / "cache")
    asked = len(pip.calls)
    second = collect(request_for(source, constraints), tmp_path / "cache")
    assert (first.cached, second.cached) == (False, True)
    assert len(pip.calls) == asked
    assert (second.checksum, second.tarball, second.wheels) == (first.checksum, first.tarball, first.wheels)


def test_a_device_gets_its_own_wheels_pip_and_what_to_install(pip: Pip, source: Path, tmp_path: Path) -> None:
    bundle = collect(request_for(source, arch="aarch64"), tmp_path / "cache")
    assert bundle.wheels == (
        "confluent_kafka-1.0-py3-none-any.whl",
        "fogverse-1.0-py3-none-any.whl",
        "pip-1.0-py3-none-any.whl",
    )
    with tarfile.open(bundle.tarball) as archive:
        assert archive.getnames() == sorted([*bundle.wheels, wheels.INSTALL_LIST])
        listed = archive.extractfile(wheels.INSTALL_LIST)
        assert listed is not None
        assert listed.read() == b"./fogverse-1.0-py3-none-any.whl\n"
    download = next(call for call in pip.calls if call[0] == "download")
    assert "manylinux_2_28_aarch64" in download
    assert not [argument for argument in download if "x86_64" in argument]
    assert download[download.index("--python-version") + 1] == "3.11"
    assert download[download.index("--only-binary") + 1] == ":all:"


def test_the_runtime_is_built_here_and_never_taken_from_a_registry(
    pip: Pip, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip takes a bare name for a package: a stranger's 'fogverse' would run on every device."""
    monkeypatch.chdir(source.parent)
    collect(request_for(Path(source.name)), tmp_path / "cache")
    built = next(call for call in pip.calls if call[0] == "wheel")
    assert built[-1] == str(source)
    download = next(call for call in pip.calls if call[0] == "download")
    assert "fogverse" not in download


def test_nothing_that_needs_a_newer_c_library_is_pushed() -> None:
    """Debian 12 has glibc 2.36; a wheel for 2.39 would install and then fail to load."""
    tags = Platform("3.11", "x86_64").tags()
    minors = [int(tag.split("_")[2]) for tag in tags if tag.startswith("manylinux_2_")]
    assert minors[0] == max(minors) == NEWEST_GLIBC == 36
    assert 17 in minors  # what most wheels are built for


def test_another_platform_or_version_is_collected_anew(
    pip: Pip, source: Path, constraints: Path, tmp_path: Path
) -> None:
    requests = [
        request_for(source, constraints),
        request_for(source, constraints, python="3.13"),
        request_for(source, constraints, arch="aarch64"),
        request_for(source, None),
    ]
    bundles = [collect(request, tmp_path / "cache") for request in requests]
    assert len({bundle.checksum for bundle in bundles}) == len(bundles)
    assert not any(bundle.cached for bundle in bundles)
    assert pip.calls


def test_a_failed_collection_is_not_taken_for_a_cached_one(pip: Pip, source: Path, tmp_path: Path) -> None:
    pip.refuse = "ERROR: Could not find a version that satisfies the requirement confluent-kafka"
    with pytest.raises(WheelsError):
        collect(request_for(source), tmp_path / "cache")
    pip.refuse = None
    assert not collect(request_for(source), tmp_path / "cache").cached
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".gz", ".json", ".lock"]


def test_pips_reason_reaches_the_user_and_its_noise_does_not(pip: Pip, source: Path, tmp_path: Path) -> None:
    pip.refuse = "Collecting things\nERROR: No matching distribution found for confluent-kafka\nnote: see above\n"
    with pytest.raises(WheelsError, match="No matching distribution found for confluent-kafka") as raised:
        collect(request_for(source), tmp_path / "cache")
    assert "Collecting" not in str(raised.value)
    assert "Python 3.11 on x86_64" in str(raised.value)


def test_a_32_bit_device_is_told_what_to_install() -> None:
    with pytest.raises(WheelsError, match="64-bit Raspberry Pi OS"):
        Platform("3.11", "armv7l")


def test_a_wrong_python_version_is_refused_before_pip_runs() -> None:
    with pytest.raises(WheelsError, match=r"such as 3\.11"):
        Platform("3.11.2", "x86_64")


def test_requirements_cannot_bring_options_of_pip(pip: Pip, tmp_path: Path) -> None:
    """--index-url in an artifact's requirements would fetch from wherever it likes."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("nltk==3.10.4  # the classifier\n--index-url https://example.org\n")
    request = Request(Platform("3.11", "x86_64"), requirements=(requirements,))
    with pytest.raises(WheelsError, match="no options of pip"):
        collect(request, tmp_path / "cache")
    assert not pip.calls


def test_requirements_are_installed_as_they_are_written(pip: Pip, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# what it needs\nnltk==3.10.4  # the classifier\n\n")
    bundle = collect(Request(Platform("3.11", "x86_64"), requirements=(requirements,)), tmp_path / "cache")
    with tarfile.open(bundle.tarball) as archive:
        listed = archive.extractfile(wheels.INSTALL_LIST)
        assert listed is not None
        assert listed.read() == b"nltk==3.10.4\n"
    assert pip.calls[0][0] == "download"


@pytest.mark.usefixtures("pip")
def test_what_a_killed_collection_has_left_goes_with_the_next(source: Path, tmp_path: Path) -> None:
    """Lost: the controller's disk, a folder of wheels with each run that is broken off while it collects."""
    request, cache = request_for(source), tmp_path / "cache"
    left, others = cache / f".collect-{request.checksum()}-x", cache / ".collect-0123456789ab-x"
    for folder in (left, others):
        folder.mkdir(parents=True)
        (folder / "big.whl").write_text("")
    collect(request, cache)
    assert (left.exists(), others.exists()) == (False, True), "what another run collects now is not touched"


@pytest.mark.parametrize(
    "damage", [lambda _whole: b"", lambda whole: whole[:-7], lambda whole: whole[:40] + b"?" + whole[41:]],
    ids=["emptied", "cut short", "one byte changed"],
)  # fmt: skip
def test_a_damaged_archive_is_collected_anew(
    damage: Callable[[bytes], bytes], pip: Pip, source: Path, tmp_path: Path
) -> None:
    """Lost: a fleet gets wheels that do not install, or worse ones that do, until somebody empties the cache."""
    first = collect(request_for(source), tmp_path / "cache")
    whole = Path(first.tarball).read_bytes()
    Path(first.tarball).write_bytes(damage(whole))
    asked = len(pip.calls)
    again = collect(request_for(source), tmp_path / "cache")
    assert not again.cached
    assert len(pip.calls) > asked
    assert Path(again.tarball).is_file()
    assert collect(request_for(source), tmp_path / "cache").cached


def test_conditions_are_judged_for_the_device_and_not_for_this_machine(pip: Pip, tmp_path: Path) -> None:
    """Lost: a Pi lacks a package that only Pis need, and gets those that only this machine would."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        "lights==1; platform_machine == 'aarch64'\n"
        "desk==1; platform_machine == 'x86_64'\n"
        "backport==1; python_version < '3.12'\n"
        "mended==1; python_full_version < '3.11.3'\n"
        "pane==1; sys_platform == 'win32'\n"
    )

    def asked(python: str, arch: str) -> set[str]:
        pip.calls.clear()
        collect(Request(Platform(python, arch), requirements=(requirements,)), tmp_path / "cache")
        return {argument for argument in pip.calls[0] if argument.endswith("==1")}

    assert asked("3.11", "aarch64") == {"lights==1", "backport==1", "mended==1"}
    assert asked("3.13", "aarch64") == {"lights==1"}
    assert asked("3.13", "x86_64") == {"desk==1"}


def test_what_a_package_needs_on_the_device_only_is_fetched_too(pip: Pip, tmp_path: Path) -> None:
    """Lost: the installation fails on the device, which cannot fetch what pip did not see here."""
    pip.needs = {
        "camera": (
            "gpio==2; platform_machine == 'aarch64'",
            "extra-fast==1; extra == 'fast'",
            "winapi; os_name == 'nt'",
        ),
        "gpio": ("tree==3; python_version >= '3.13'",),
    }
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("camera[fast]==1\n")
    bundle = collect(Request(Platform("3.13", "aarch64"), requirements=(requirements,)), tmp_path / "cache")
    assert [name.split("-")[0] for name in bundle.wheels] == ["camera", "extra_fast", "gpio", "pip", "tree"]


def test_what_only_this_machine_would_need_stays_here(pip: Pip, tmp_path: Path) -> None:
    """Lost: megabytes of every device's card and link, for packages that pip wanted for the controller's own Python."""
    pip.needs = {"camera": ("gpio==2", "backport==1; python_version < '3.12'")}
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("camera==1\n")
    # As pip on a Python of 3.11 leaves them: it judges the conditions for itself.
    pip.leaves = {"backport": ("typing-more==1",), "typing_more": (), "gpio": ()}
    bundles = [
        collect(Request(Platform(python, "aarch64"), requirements=(requirements,)), tmp_path / "cache")
        for python in ("3.13", "3.11")
    ]
    names = [[name.split("-")[0] for name in bundle.wheels] for bundle in bundles]
    assert names == [["camera", "gpio", "pip"], ["backport", "camera", "gpio", "pip", "typing_more"]]


def test_what_no_download_brings_is_named_instead_of_asked_for_for_ever(pip: Pip, tmp_path: Path) -> None:
    pip.needs = {"camera": ("gpio",)}
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("camera==1\n")
    with pytest.raises(WheelsError, match=r"Python 3\.13 on aarch64 still need gpio"):
        collect(Request(Platform("3.13", "aarch64"), requirements=(requirements,)), tmp_path / "cache")


def test_a_line_that_is_no_requirement_is_named(pip: Pip, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("nltk==3.10.4\n./own.whl\n")
    with pytest.raises(WheelsError, match=r"requirements\.txt, line 2: './own\.whl' is no requirement"):
        collect(Request(Platform("3.11", "x86_64"), requirements=(requirements,)), tmp_path / "cache")
    assert not pip.calls


@pytest.mark.usefixtures("pip")
def test_the_same_wheels_have_the_same_content_whoever_asks(tmp_path: Path) -> None:
    """Lost: a newer linter in the constraints, or a second service, pushes and installs the same packages again."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("nltk==3.10.4\n")
    contents, checksums = set(), set()
    for text in ("nltk==3.10.4\n", "nltk==3.10.4\nruff==0.18\n"):
        (tmp_path / "constraints.txt").write_text(text)
        request = Request(
            Platform("3.11", "x86_64"), requirements=(requirements,), constraints=tmp_path / "constraints.txt"
        )
        bundle = collect(request, tmp_path / "cache")
        contents.add(bundle.content)
        checksums.add(bundle.checksum)
    assert (len(contents), len(checksums)) == (1, 2)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    request = Request(Platform("3.11", "x86_64"), requirements=(tmp_path / "missing.txt",))
    with pytest.raises(WheelsError, match=r"missing\.txt is not a file"):
        collect(request, tmp_path)


def test_devices_are_reinstalled_for_a_new_runtime_or_client_only(source: Path, constraints: Path) -> None:
    """A newer linter or a better README must not restart every instance of the fleet."""
    before = runtime.checksum(source, constraints)
    constraints.write_text("confluent-kafka==2.16.1\nruff==0.18.0\n")
    (source / "README.md").write_text("# better\n")
    (source / "tests").mkdir()
    (source / "tests" / "test_it.py").write_text("")
    assert runtime.checksum(source, constraints) == before
    constraints.write_text("confluent-kafka==2.17.0\n")
    newer_client = runtime.checksum(source, constraints)
    (source / "src" / "fogverse" / "__init__.py").write_text("changed = True\n")
    assert len({before, newer_client, runtime.checksum(source, constraints)}) == 3


def test_a_wrong_runtime_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OrchestratorError, match=r"has no pyproject\.toml"):
        runtime.checksum(tmp_path, None)


def test_playbooks_learn_in_one_call_what_a_device_should_have(
    source: Path, constraints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["checksum", "--source", str(source), "--constraints", str(constraints)]
    assert main([*arguments, "--artifact", str(source)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runtime"] == runtime.checksum(source, constraints)
    assert len(told["release"]) == len(told["runtime"]) == 12
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"runtime": told["runtime"], "release": None}


def test_playbooks_collect_by_command(
    pip: Pip, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "collect",
        "--python",
        "3.11",
        "--arch",
        "x86_64",
        "--source",
        str(source),
        "--into",
        str(tmp_path / "c"),
    ]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["tarball"]).is_file()
    assert not told["cached"]
    assert len(pip.calls) == 3
    assert main([*arguments[:4], "mips", *arguments[5:]]) == 1
    assert "mips" in capsys.readouterr().err
