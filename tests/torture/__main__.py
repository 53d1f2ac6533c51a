"""
`python -m tests.torture`: rounds of load and faults, and what came of them (make torture).
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from tests.torture.checker import Kind
from tests.torture.faults import FAULTS
from tests.torture.history import Outcome
from tests.torture.rounds import Plan, Result, plan_of, play

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHOWN = 10
"""Violations of one round that are printed."""


def main() -> int:
    """Play rounds; 1 if anything was lost, doubled or diverged."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; they count up")
    parser.add_argument("--only", metavar="FAULT", help="one fault, or all that begin so")
    parser.add_argument("--minutes", type=float, help="begin no round after so many")
    parser.add_argument("--short", action="store_true", help="less load in each round")
    parser.add_argument(
        "--frames", type=int, default=10, help="training frames every so many rounds"
    )
    parser.add_argument("--no-spark", action="store_true", help="leave out what needs a JVM")
    parser.add_argument("--keep", action="store_true", help="keep stores and logs of all rounds")
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    arguments = parser.parse_args()
    if arguments.list:
        _say(*FAULTS)
        return 0
    has_spark = not arguments.no_spark and shutil.which("java") is not None
    results: list[Result] = []
    skipped: Counter[str] = Counter()
    for plan in _plans(arguments):
        if plan.fault.needs_spark and not has_spark:
            skipped[plan.fault.name] += 1
            continue
        result = play(plan, _session if has_spark else None, arguments.keep)
        results.append(result)
        _say(*_lines(result, arguments))
    _say("", *summary(results, skipped))
    return 1 if any(result.violations for result in results) else 0


def _plans(arguments: argparse.Namespace) -> Iterator[Plan]:
    names = [name for name in FAULTS if name.startswith(arguments.only or "")]
    if not names:
        sys.exit(f"error: no fault is called {arguments.only}; --list names them")
    end = time.monotonic() + 60 * (arguments.minutes or math.inf)
    for number in range(arguments.rounds):
        if time.monotonic() > end:
            return
        only = names[number % len(names)] if arguments.only else None
        yield plan_of(arguments.seed + number, only, arguments.short, arguments.frames)


@cache
def _session() -> SparkSession:
    from tests.torture.frames import open_session

    return open_session()


def _lines(result: Result, arguments: argparse.Namespace) -> Iterator[str]:
    """A round, and if something is wrong what, and how to see it again."""
    plan = result.plan
    counts = " ".join(f"{outcome.value} {result.requests[outcome]}" for outcome in Outcome)
    told = "" if result.has_happened else ", DID NOT COME TO PASS"
    notes = "".join(f", {note}" for note in result.notes)
    yield (
        f"seed {plan.seed}: {plan}{told}{notes}: {counts}, {result.acknowledged} records "
        f"acknowledged, {len(result.violations)} wrong, {result.seconds:.1f} s"
    )
    for violation in result.violations[:SHOWN]:
        yield f"  {violation.kind.value}: {violation.text}"
    if result.violations:
        options = " --short" if arguments.short else ""
        options += f" --frames {arguments.frames}" if plan.is_framed else ""
        yield f"  stores and logs: {result.folder}"
        yield (
            f"  again: python -m tests.torture --rounds 1 --seed {plan.seed} "
            f"--only '{plan.fault.name}'{options}"
        )


def summary(results: Sequence[Result], skipped: Counter[str]) -> Iterator[str]:
    """A table: a row for each fault, and one for all."""
    head = ("rounds", "happened", "sent", "ok", "failed", "unknown", "records", "reads")
    kinds = tuple(kind.value for kind in Kind)
    width = max([len(name) for name in FAULTS])
    yield f"{'fault':<{width}} " + " ".join(f"{name:>8}" for name in (*head, *kinds))
    for name in FAULTS:
        chosen = [result for result in results if result.plan.fault.name == name]
        if chosen:
            yield _row(name, width, chosen)
        if skipped[name]:
            yield f"{name:<{width}} skipped {skipped[name]} times: there is no Java, or --no-spark"
    yield _row("all", width, results)


def _row(name: str, width: int, results: Iterable[Result]) -> str:
    results = list(results)
    numbers = [
        len(results),
        sum(result.has_happened for result in results),
        sum(result.attempts for result in results),
        *(sum(result.requests[outcome] for result in results) for outcome in Outcome),
        sum(result.acknowledged for result in results),
        sum(result.readings for result in results),
        *(sum(result.count(kind) for result in results) for kind in Kind),
    ]
    return f"{name:<{width}} " + " ".join(f"{number:>8}" for number in numbers)


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
