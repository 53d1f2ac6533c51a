"""
Checked records → the same with the rows that the functions of views return for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tecton.applied import AppliedView
from tecton.errors import RecordProblem, RequestError
from tecton.functions.transformation import Failure, FunctionRunner, Transformation
from tecton.rows import Record
from tecton.schema import RecordChecker

MAX_RETURNED = 100_000
"""Rows that the records of one request may yield for one view."""


class Returned(NamedTuple):
    """What the functions of a source's views made of records.

    Args:
        records: The records with all their rows.
        problems: What is wrong; nothing may be written if there is any.
        counts: How many rows each view with a function takes, by name.
    """

    records: Sequence[Record]
    problems: Sequence[RecordProblem]
    counts: Mapping[str, int]


def with_returned(
    checker: RecordChecker,
    functions: FunctionRunner,
    records: Mapping[int, Record],
    now: int,
) -> Returned:
    """
    Run the functions of all views on records, and check what they return.

    Args:
        checker: The rules of their source.
        functions: Runs functions.
        records: By position in the request.
        now: The clock, µs since the epoch.

    Raises:
        FunctionStopped: A function took too long, or its process died.
        FunctionsUnavailable: Functions cannot run here.
        RequestError: The rows are too many.
    """
    done = dict(records)
    problems: list[RecordProblem] = []
    counts = {}
    for view, transformation in checker.transformed if records else ():
        counts[view.name] = _run(view, transformation, checker, functions, done, now, problems)
    return Returned(list(done.values()), problems, counts)


def _run(
    view: AppliedView,
    transformation: Transformation,
    checker: RecordChecker,
    functions: FunctionRunner,
    done: dict[int, Record],
    now: int,
    problems: list[RecordProblem],
) -> int:
    """Run one view's function; returns how many rows it has returned."""
    count = 0
    values = [record.values for record in done.values()]
    outcomes = functions.run(transformation, values, patience=1)
    for (index, record), outcome in zip(list(done.items()), outcomes, strict=True):
        if isinstance(outcome, Failure):
            source = record.source.name
            problems.append(RecordProblem(source, index, outcome.message, view.name))
            continue
        count += len(outcome)
        rows, wrong = checker.check_returned(view, transformation, record, outcome, index, now)
        problems += wrong
        done[index] = record._replace(rows=(*record.rows, *rows))
    if count > MAX_RETURNED:
        raise RequestError(
            f"the function of Feature View {view.name} returns {count:,} rows for these records, "
            f"at most {MAX_RETURNED:,} are taken at once; send fewer records"
        )
    return count
