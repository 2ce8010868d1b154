"""Finding the callable that ``module:callable`` names."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from pathlib import Path
from typing import Any

from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault

log = logging.getLogger(__name__)
_FORM = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


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
        module = importlib.import_module(form["module"])
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


def _fault(entrypoint: str, reason: str) -> Fault:
    return Fault(ExitCode.NO_CALLABLE, f"cannot load {entrypoint}: {reason}")
