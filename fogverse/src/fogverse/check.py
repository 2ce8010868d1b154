"""``fogverse check``: what would hinder a run, without running."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping

from fogverse.broker_check import broker_findings
from fogverse.entrypoint import load
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.findings import Finding, exit_code, fail, ok, warn
from fogverse.findings import as_json as in_json
from fogverse.process import is_coroutine_function
from fogverse.settings import Settings, SettingsError, misspelt
from fogverse.usage import available_mb, rss_mb

#: Megabytes that librdkafka may hold at most, by ``kafka_config``: fetched in advance, and outputs that wait.
_CLIENT_MB = 17 + 34


def check(entrypoint: str, environ: Mapping[str, str], given: Mapping[str, object], *, as_json: bool) -> int:
    """Look at everything, print a line for each (or one JSON object), return the exit code.

    Args:
        entrypoint: ``module:callable``.
        environ: environment variables.
        given: flags by name of the setting; None counts as not given.
        as_json: for programs.
    """
    findings = []
    for found in _findings(entrypoint, environ, given):
        findings.append(found)
        if not as_json:
            print(found.line(), flush=True)
    if as_json:
        print(in_json(findings))
    return exit_code(findings)


def _findings(entrypoint: str, environ: Mapping[str, str], given: Mapping[str, object]) -> Iterator[Finding]:
    settings: Settings | None = None
    try:
        settings = Settings.from_environment(environ, given)
    except SettingsError as error:
        for problem in error.problems:
            yield fail("settings", ExitCode.BAD_SETTINGS, problem)
    else:
        yield ok("settings", f"{settings.instance} of group {settings.group_id} at {settings.bootstrap_servers}")
    for line in misspelt(environ):
        yield warn("settings", line)
    yield _callable(entrypoint)
    if settings is not None:
        yield _memory(settings)
        yield from broker_findings(settings)


def _callable(entrypoint: str) -> Finding:
    subject = f"callable {entrypoint}"
    try:
        found = load(entrypoint)
    except Fault as fault:
        return fail(subject, fault.code, fault.text)
    kind = "a coroutine function" if is_coroutine_function(found) else "a plain function"
    try:
        inspect.signature(found).bind(object())
    except TypeError as error:
        return fail(
            subject, ExitCode.NO_CALLABLE, f"it cannot be called with one message: {error}", "take one argument"
        )
    except ValueError:  # some built-in functions do not tell
        return warn(subject, "imported; which arguments it takes is not known")
    return ok(subject, f"imported, {kind} that takes one message")


def _memory(settings: Settings) -> Finding:
    resident, available = rss_mb(), available_mb()
    if resident is None or available is None:
        return warn("memory", "not known: /proc tells nothing")
    more = _CLIENT_MB + (settings.max_in_flight_mb if settings.workers > 1 else 0)
    text = f"{resident:.0f} MB after the import, up to {more:.0f} MB more for messages, {available:.0f} MB available"
    if more > available:
        return warn("memory", text, "lower FOGVERSE_MAX_IN_FLIGHT_MB, or give the device or the unit more")
    return ok("memory", text)
