"""
Sorted frames of events and questions → what the windows hold at each question, key by key.

Arrow in, Arrow out, no Spark: what runs on its executors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tecton.applied import AppliedView
from tecton.windows import Events, algebra_of
from tecton.windows.arrow import events_of
from tecton.windows.ranges import aggregate_ranges

AT = "#at"
"""µs since the epoch: of an event, or where a question's windows end."""
KIND = "#kind"
"""0 for an event, 1 for a question: at one time events come first."""
IDENTITY = "#identity"
"""What tells events of one key and time apart; this, `_sequence` and `_tie` are only there with an
event key."""
KNOWN = "#known"
"""From when on an event is known, µs since the epoch; only there if that matters."""
SEQUENCE, TIE = "_sequence", "_tie"

ROWS_AT_ONCE = 100_000
"""Keys are answered together until there are so many rows; one key may have more."""

_Numbers = npt.NDArray[Any]


def key_name(number: int) -> str:
    """The column of a join key."""
    return f"#key{number}"


def value_name(number: int) -> str:
    """The column of one of the view's `aggregated_fields`."""
    return f"#value{number}"


class _Chunk(NamedTuple):
    """Whole keys: for each row the number of its key, its time, and whether it is a question."""

    table: pa.Table
    keys: _Numbers
    at: _Numbers
    is_question: _Numbers


class WindowFrames:
    """
    Answers the questions of frames for one view.

    Args:
        view: An aggregating view.
        features: Those that are answered, in this order.
        as_known: An event counts only from `#known` on.
    """

    def __init__(self, view: AppliedView, features: Sequence[str], as_known: bool) -> None:
        self._view = view
        by_name = {field.name: field for field in view.features}
        self._features = [by_name[name] for name in features]
        self._as_known = as_known

    def answers(
        self, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[tuple[pa.Table, pa.StructArray]]:
        """
        Answer all questions.

        Args:
            batches: In the order of keys, `#at`, `#kind`, `_sequence`, `_tie`; nulls first.

        Yields:
            Some questions, whole rows, and a struct of the features for each.
        """
        keys = [key_name(number) for number, _ in enumerate(self._view.key_fields)]
        for table in _whole_keys(batches, keys):
            chunk = _chunk(table, keys)
            if not chunk.is_question.any():
                continue
            solve = self._as_known_answers if self._as_known else self._answers
            columns = solve(chunk)
            names = [field.name for field in self._features]
            arrays = [columns[name] for name in names]
            yield (
                table.filter(pa.array(chunk.is_question)),
                pa.StructArray.from_arrays(arrays, names=names),
            )

    def _answers(self, chunk: _Chunk) -> Mapping[str, pa.Array]:
        kept = _one_each(chunk, np.flatnonzero(~chunk.is_question), bool(self._view.event_key))
        questions = np.flatnonzero(chunk.is_question)
        # Events of the same time come before a question; those after it are not known then.
        ends = np.searchsorted(kept, questions)
        moments, ranks = np.unique(chunk.at[kept], return_inverse=True)
        places = chunk.keys[kept] * (moments.size + 1) + ranks
        algebra = algebra_of(self._view)
        starts = []
        for window in algebra.windows:
            first = np.searchsorted(moments, chunk.at[questions] - window, side="right")
            first = chunk.keys[questions] * (moments.size + 1) + first
            starts.append(np.minimum(np.searchsorted(places, first), ends))
        return aggregate_ranges(algebra, self._events(chunk, kept), starts, ends)

    def _as_known_answers(self, chunk: _Chunk) -> Mapping[str, pa.Array]:
        """One question after another: which version of an event counts depends on the time."""
        algebra = algebra_of(self._view)
        known = _integers(chunk.table, KNOWN)
        rows = np.flatnonzero(~chunk.is_question)
        columns: dict[str, list[Any]] = {field.name: [] for field in self._features}
        for question in np.flatnonzero(chunk.is_question):
            at = chunk.at[question]
            first, last = np.searchsorted(chunk.keys[rows], chunk.keys[question] + [0, 1])
            own = rows[first:last]
            own = own[(own < question) & (chunk.at[own] > at - algebra.windows[-1])]
            own = _one_each(chunk, own[known[own] <= at], bool(self._view.event_key))
            found = algebra.answer(int(at), self._events(chunk, own)) or {}
            for field in self._features:
                value = found.get(field.name)
                columns[field.name].append(None if value is None else field.dtype.to_native(value))
        return {
            field.name: pa.array(columns[field.name], field.dtype.arrow())
            for field in self._features
        }

    def _events(self, chunk: _Chunk, rows: _Numbers) -> Events:
        taken = chunk.table.take(pa.array(rows))
        fields = self._view.aggregated_fields
        columns = [taken.column(value_name(number)) for number, _ in enumerate(fields)]
        layout = algebra_of(self._view).layout
        at = chunk.at[rows]
        if not self._view.event_key:
            # Times are ascending then, and nothing else is needed to order them.
            return events_of(layout, columns, at)
        return events_of(layout, columns, at, _integers(taken, SEQUENCE), _integers(taken, TIE))


def _whole_keys(batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> Iterator[pa.Table]:
    """The same rows in tables that part no key."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if size >= ROWS_AT_ONCE:
            first = _first_of_last_key(batch, keys, waiting[-1])
            if first is not None:
                yield pa.Table.from_batches([*waiting, batch.slice(0, first)])
                waiting, size = [], 0
                batch = batch.slice(first)
        waiting.append(batch)
        size += batch.num_rows
    if size:
        yield pa.Table.from_batches(waiting)


def _first_of_last_key(
    batch: pa.RecordBatch, keys: Sequence[str], before: pa.RecordBatch
) -> int | None:
    """Where the last key of a batch begins; None if it may have begun before."""
    with_before = pa.Table.from_batches([before.slice(before.num_rows - 1), batch])
    numbers = _key_numbers(with_before, keys)
    first = int(np.searchsorted(numbers, numbers[-1])) - 1
    return None if first < 0 else first


def _chunk(table: pa.Table, keys: Sequence[str]) -> _Chunk:
    return _Chunk(
        table, _key_numbers(table, keys), _integers(table, AT), _integers(table, KIND) == 1
    )


def _key_numbers(table: pa.Table, keys: Sequence[str]) -> _Numbers:
    """0 for rows of the first key, 1 for those of the second, and so on."""
    changes = np.zeros(table.num_rows, dtype=bool)
    for key in keys:
        codes = table.column(key).combine_chunks().dictionary_encode().indices
        codes = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)
        changes[1:] |= codes[1:] != codes[:-1]
    numbers: _Numbers = np.cumsum(changes)
    return numbers


def _one_each(chunk: _Chunk, rows: _Numbers, has_event_key: bool) -> _Numbers:
    """Of the rows of one identity the most recent, in the order of *rows*."""
    if not rows.size:
        return rows
    same = (np.diff(chunk.keys[rows]) == 0) & (np.diff(chunk.at[rows]) == 0)
    if not has_event_key or not same.any():
        last: _Numbers = rows[np.append(~same, True)]
        return last
    moments = np.cumsum(np.append(0, ~same))
    identities = _integers(chunk.table, IDENTITY)[rows]
    # Stable, so that of equal ones the last in `rows` is the last here.
    order = np.lexsort((identities, moments))
    is_last = np.append((np.diff(moments[order]) != 0) | (np.diff(identities[order]) != 0), True)
    chosen: _Numbers = rows[np.sort(order[is_last])]
    return chosen


def _integers(table: pa.Table, name: str) -> _Numbers:
    numbers: _Numbers = (
        pc.fill_null(table.column(name), 0).combine_chunks().to_numpy(zero_copy_only=False)
    )
    return numbers
