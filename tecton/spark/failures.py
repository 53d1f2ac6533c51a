"""
Spark's failures in one line that says what happened, and several pieces of work side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # it has no types
from pyspark.errors import PySparkException

from tecton.errors import JobFailed, TectonError

FAILURES = (TectonError, PySparkException, Py4JError)
"""What a job can end with that is not a fault of this software."""

_Report = TypeVar("_Report")

_OURS = re.compile(r"tecton\.errors\.\w+: ([^\n]+)")
_PYTHON = re.compile(r"^\s*((?:\w+\.)*\w+(?:Error|Exception): [^\n]+)", re.MULTILINE)
_JAVA = re.compile(r"(?:Caused by|^): (?:[\w$]+\.)+[\w$]+: ([^\n]+)", re.MULTILINE)
_FILE = re.compile(r"FAILED_READ_FILE.*? while reading file (\S+)\.\s")
_CONCURRENT = re.compile(r"DELTA_CONCURRENT_\w+|\bConcurrent\w+Exception\b")


def one_line(exc: BaseException) -> str:
    """
    What to tell a person about a failure.

    Args:
        exc: One of `FAILURES`.
    """
    text = str(exc)
    if isinstance(exc, TectonError):
        return " ".join(text.split())
    if "io.delta.sql.DeltaSparkSessionExtension" in text or _is_without_delta(text):
        return (
            "this Spark has no Delta; add `--packages` with io.delta:delta-spark_2.13:<version> "
            "(delta-spark_2.12 before Spark 4) to spark-submit"
        )
    if _CONCURRENT.search(text):
        return "another job wrote the same table at the same time; nothing is lost, run it again"
    for pattern in (_OURS, _PYTHON):
        found = pattern.findall(text)
        if found:
            return " ".join(found[-1].split())
    causes = _JAVA.findall(text)
    cause = " ".join((causes[-1] if causes else text.strip().partition("\n")[0]).split())
    file = _FILE.search(text)
    return cause if file is None or file[1] in cause else f"{cause}, in {file[1]}"


def attempt_all(
    steps: Iterable[tuple[str, Iterator[_Report]]],
) -> Iterator[_Report]:
    """
    Do several pieces of work, the rest also when one fails.

    Args:
        steps: Names and work; without a name what is said of a failure stands alone.

    Yields:
        What the pieces yield.

    Raises:
        JobFailed: One or more failed; the message has the reason of each.
    """
    failures: list[tuple[str, Exception]] = []
    for name, reports in steps:
        yield from _attempt(name, reports, failures)
    if failures:
        raise JobFailed("; ".join(line for line, _ in failures)) from failures[0][1]


def _attempt(
    name: str, reports: Iterator[_Report], failures: list[tuple[str, Exception]]
) -> Iterator[_Report]:
    try:
        yield from reports
    except FAILURES as exc:
        failures.append((f"{name}: {one_line(exc)}" if name else one_line(exc), exc))


def _is_without_delta(text: str) -> bool:
    is_missing = "Cannot find catalog plugin class" in text or "DATA_SOURCE_NOT_FOUND" in text
    return is_missing and "delta" in text.lower()
