"""Finding the callable that ``module:callable`` names."""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault

log = logging.getLogger(__name__)
_FORM = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|/.+\.py):(?P<name>[A-Za-z_]\w*)")


def load(entrypoint: str) -> Any:
    """Import the callable.

    The working folder is searched last, so ``fogverse run`` finds code beside it as ``python -m`` does.

    Raises:
        Fault: exit code 3, with the reason and the mend.
    """
    form = _FORM.fullmatch(entrypoint)
    if form is None:
        raise _fault(entrypoint, "the form is package.module:callable")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = _import(form["module"])
    except (Exception, SystemExit) as error:
        log.debug("traceback of the import", exc_info=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        missing = isinstance(error, ModuleNotFoundError) and error.name
        if missing and f"{form['module']}.".startswith(f"{missing}."):
            reason += " (is its folder in PYTHONPATH?)"
        elif missing:
            reason += " (it is imported by that code: is it in the artifact's requirements.txt?)"
        raise _fault(entrypoint, reason) from error
    found = getattr(module, form["name"], None)
    if found is None:
        raise _fault(entrypoint, f"module {form['module']} ({module.__file__}) has no {form['name']}")
    if not callable(found):
        raise _fault(entrypoint, f"{form['name']} is a {type(found).__name__}, not a callable")
    return found


def name_of(process: object) -> str:
    """What ``load`` finds a callable by in another process; that of a program is its file.

    Raises:
        TypeError: it cannot be found by a name.
    """
    name = getattr(process, "__qualname__", "")
    module = sys.modules.get(getattr(process, "__module__", ""))
    if module is None or getattr(module, name, None) is not process:
        raise TypeError(
            f"{process!r} cannot be imported by a worker process: with mode=process it has to be a function at the "
            "top of a module, under its own name (no lambda, no function made by another one, no method)"
        )
    if module.__name__ != "__main__":
        return f"{module.__name__}:{name}"
    if module.__spec__ is not None:  # python -m package.module
        return f"{module.__spec__.name}:{name}"
    if not getattr(module, "__file__", None):
        raise TypeError(f"{name} was typed in, and a worker process cannot import it: write it into a module")
    return f"{Path(str(module.__file__)).resolve()}:{name}"


def in_worker() -> bool:
    """Whether this process is a worker, which imports a callable and runs no executor."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return getattr(spec, "name", None) == "fogverse.worker"


def _import(module: str) -> ModuleType:
    if not module.startswith("/"):
        return importlib.import_module(module)
    name = "__fogverse_program__"
    spec = importlib.util.spec_from_file_location(name, module)
    if spec is None or spec.loader is None:
        raise ImportError(f"{module} is no Python program")
    found = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _fault(entrypoint: str, reason: str) -> Fault:
    return Fault(ExitCode.NO_CALLABLE, f"cannot load {entrypoint}: {reason}")
