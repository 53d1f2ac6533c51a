"""
Batch sources for the views of one job: what would be read more than once is read in one pass.

Meanwhile its rows are kept on disk, never in memory (docs/decisions/0044).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import combinations
from operator import or_
from typing import NamedTuple

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # it has no types
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from tecton.applied import AppliedSource, AppliedView
from tecton.locations import BatchRules
from tecton.periods import Period
from tecton.spark.columns import column
from tecton.spark.offline_table import row_fields
from tecton.spark.sources import read_batch
from tecton.timestamps import micros_of

_PARSED = ("csv", "json")
"""Formats of which every read parses whole files, whichever columns and rows it is for."""


class Want(NamedTuple):
    """What a view is going to read of a batch source, more than once maybe."""

    source: AppliedSource
    view: AppliedView
    period: Period


@dataclass(frozen=True)
class Pass:
    """Rows of a batch source.

    Args:
        frame: Those that are wanted, in some columns more maybe; to be read as often as one likes.
        read_at: When the pass began: what has changed since is not among them.
        left: What it is for, and has not been done.
    """

    frame: DataFrame
    read_at: datetime
    left: list[Want]

    def is_for(self, want: Want) -> bool:
        """Has this been asked of it?"""
        return any(_what(one) == _what(want) for one in self.left)


class SourcePasses:
    """The passes over batch sources of one job, whose views come one after the other.

    Args:
        spark: The session.
        rules: What batch data has to keep to.
        clock: The time, UTC.
    """

    def __init__(
        self, spark: SparkSession, rules: BatchRules, clock: Callable[[], datetime]
    ) -> None:
        self._spark = spark
        self._rules = rules
        self._clock = clock
        self._expected: list[Want] = []
        self._open: list[Pass] = []

    @contextmanager
    def expect(self, wants: Iterable[Want]) -> Iterator[None]:
        """Say what views are going to ask for meanwhile."""
        self._expected = list(wants)
        try:
            yield
        finally:
            self._expected = []
            # What nobody came for.
            for one in list(self._open):
                self._close(one)

    @contextmanager
    def rows(self, source: AppliedSource, view: AppliedView, period: Period) -> Iterator[Pass]:
        """
        The rows of a batch source for a view.

        Args:
            source: A source with batch rows.
            view: Says which columns.
            period: Which rows; those without a timestamp are among them.

        Raises:
            SourceError: As of `read_batch`.
        """
        want = Want(source, view, period)
        found = next((one for one in self._open if one.is_for(want)), None)
        found = found or self._begin(want)
        try:
            yield found
        finally:
            found.left.remove(next(one for one in found.left if _what(one) == _what(want)))
            if not found.left:
                self._close(found)

    def _begin(self, want: Want) -> Pass:
        wants = self._together(want)
        periods = [one.period for one in wants]
        whole = Period(min(start for start, _ in periods), max(end for _, end in periods))
        read_at, source = self._clock(), want.source
        frame = read_batch(self._spark, source, self._rules.roots, whole)
        if len(wants) > 1 or _is_parsed(source):
            frame = frame.where(_is_wanted(source, periods)).select(*map(column, _names(wants)))
            frame.persist(StorageLevel.DISK_ONLY)
        # Whoever comes a second time for the same is not expected any more.
        self._expected = [one for one in self._expected if one not in wants]
        found = Pass(frame, read_at, list(wants))
        self._open.append(found)
        return found

    def _together(self, want: Want) -> Sequence[Want]:
        """What one pass is for: all that is expected of a source, if any of it were read twice."""
        wants = [one for one in self._expected if one.source.name == want.source.name]
        is_expected = any(_what(one) == _what(want) for one in wants)
        is_shared = any(
            one.start < other.end and other.start < one.end
            for one, other in combinations((one.period for one in wants), 2)
        )
        return wants if is_expected and (is_shared or _is_parsed(want.source)) else [want]

    def _close(self, one: Pass) -> None:
        self._open.remove(one)
        _release(one.frame)


@contextmanager
def kept(rows: DataFrame) -> Iterator[None]:
    """Meanwhile rows are computed once, however often they are read; they are kept on disk."""
    rows.persist(StorageLevel.DISK_ONLY)
    try:
        yield
    finally:
        _release(rows)


def _release(rows: DataFrame) -> None:
    # A session that is gone keeps nothing.
    with suppress(Py4JError):
        rows.unpersist()


def _what(want: Want) -> tuple[str, str, Period]:
    return want.source.name, want.view.id, want.period


def _is_parsed(source: AppliedSource) -> bool:
    batch = source.batch
    return batch is not None and (batch.file_format in _PARSED or batch.post_processor is not None)


def _is_wanted(source: AppliedSource, periods: Sequence[Period]) -> Column:
    assert source.batch is not None, "there are batch rows"  # noqa: S101
    at = column(source.batch.timestamp_field)
    micros = F.unix_micros(at)
    within = [(micros >= micros_of(one.start)) & (micros < micros_of(one.end)) for one in periods]
    return reduce(or_, within, at.isNull())


def _names(wants: Sequence[Want]) -> Sequence[str]:
    """The columns that views need; a function gets whole records."""
    needed: set[str] = set()
    for source, view, _ in wants:
        fields = row_fields(view) if view.function is None else source.fields
        needed.update(field.name for field in fields)
    [source, *_] = (want.source for want in wants)
    return [field.name for field in source.fields if field.name in needed]
