"""
Frames of events and questions → what the windows hold at each question, key by key.

Arrow in, Arrow out, no Spark: what runs on its executors. Spark only brings the rows of a key
together, by a hash of it; which of them comes first is found here, where it costs less.
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

KEY = "#key"
"""64 bits that stand for the join keys; frames are sorted by it."""
MARK = "#mark"
"""32 bits: 31 more of the join keys, and last whether the row is a question. Keys are the same if
all 95 bits are."""
AT = "#at"
"""µs since the epoch: of an event, or where a question's windows end."""
IDENTITY = "#identity"
"""What tells events of one key and time apart; this and `_tie` are only there with an event key."""
KNOWN = "#known"
"""From when on an event is known, µs since the epoch; only there if that matters."""
SEQUENCE, TIE = "_sequence", "_tie"

ROWS_AT_ONCE = 100_000
"""Keys are answered together until there are so many rows; one key may have more."""

_Numbers = npt.NDArray[Any]


def value_name(number: int) -> str:
    """The column of one of the view's `aggregated_fields`."""
    return f"#value{number}"


class _Chunk(NamedTuple):
    """
    Whole keys, in the order of keys, times, events before questions, recency.

    Args:
        table: The rows as they came.
        order: For each row its place in the table; what follows is in this order.
        keys: The number of its key.
        moments: The different times of all rows, ascending.
        ranks: Which of them is the row's.
        is_question: Whether it is one.
    """

    table: pa.Table
    order: _Numbers
    keys: _Numbers
    moments: _Numbers
    ranks: _Numbers
    is_question: _Numbers

    @property
    def at(self) -> _Numbers:
        """µs since the epoch."""
        times: _Numbers = self.moments[self.ranks]
        return times

    def integers(self, name: str, rows: _Numbers | slice) -> _Numbers:
        """A column at some places of the order; nulls as 0."""
        return _integers(self.table, name)[self.order[rows]]

    def places(self, keys: _Numbers, ranks: _Numbers) -> _Numbers:
        """One number for a key and a time, in their order."""
        return keys * (self.moments.size + 1) + ranks


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
        self, batches: Iterable[pa.RecordBatch], asked: Sequence[str]
    ) -> Iterator[tuple[pa.Table, pa.StructArray]]:
        """
        Answer all questions.

        Args:
            batches: In the order of `#key`.
            asked: Which columns of a question are wanted.

        Yields:
            These columns of some questions, and a struct of the features for each.
        """
        for table in _whole_keys(batches):
            chunk = _chunk(table, bool(self._view.event_key))
            if not chunk.is_question.any():
                continue
            solve = self._as_known_answers if self._as_known else self._answers
            columns = solve(chunk)
            names = [field.name for field in self._features]
            arrays = [columns[name] for name in names]
            questions = pa.array(chunk.order[chunk.is_question])
            yield (
                table.select(asked).take(questions),
                pa.StructArray.from_arrays(arrays, names=names),
            )

    def _answers(self, chunk: _Chunk) -> Mapping[str, pa.Array]:
        kept = self._one_each(chunk, np.flatnonzero(~chunk.is_question))
        questions = np.flatnonzero(chunk.is_question)
        # Events of the same time come before a question; those after it are not known then.
        ends = np.searchsorted(kept, questions)
        places = chunk.places(chunk.keys[kept], chunk.ranks[kept])
        asked_keys, asked_at = chunk.keys[questions], chunk.at[questions]
        algebra = algebra_of(self._view)
        starts = []
        for window in algebra.windows:
            first = np.searchsorted(chunk.moments, asked_at - window, side="right")
            begin = np.searchsorted(places, chunk.places(asked_keys, first))
            starts.append(np.minimum(begin, ends))
        return aggregate_ranges(algebra, self._events(chunk, kept), starts, ends)

    def _as_known_answers(self, chunk: _Chunk) -> Mapping[str, pa.Array]:
        """One question after another: which version of an event counts depends on the time."""
        algebra = algebra_of(self._view)
        at, known = chunk.at, chunk.integers(KNOWN, slice(None))
        rows = np.flatnonzero(~chunk.is_question)
        columns: dict[str, list[Any]] = {field.name: [] for field in self._features}
        for question in np.flatnonzero(chunk.is_question):
            now = at[question]
            first, last = np.searchsorted(chunk.keys[rows], chunk.keys[question] + [0, 1])
            own = rows[first:last]
            own = own[(own < question) & (at[own] > now - algebra.windows[-1])]
            own = self._one_each(chunk, own[known[own] <= now])
            found = algebra.answer(int(now), self._events(chunk, own)) or {}
            for field in self._features:
                value = found.get(field.name)
                columns[field.name].append(None if value is None else field.dtype.to_native(value))
        return {
            field.name: pa.array(columns[field.name], field.dtype.arrow())
            for field in self._features
        }

    def _one_each(self, chunk: _Chunk, rows: _Numbers) -> _Numbers:
        """Of the rows of one identity the most recent, in the order of *rows*."""
        if not rows.size:
            return rows
        places = chunk.places(chunk.keys[rows], chunk.ranks[rows])
        same = np.diff(places) == 0
        if not self._view.event_key or not same.any():
            last: _Numbers = rows[np.append(~same, True)]
            return last
        identities = chunk.integers(IDENTITY, rows)
        # Stable, so that of equal ones the last in `rows` is the last here.
        order = np.lexsort((identities, places))
        changes = (np.diff(places[order]) != 0) | (np.diff(identities[order]) != 0)
        chosen: _Numbers = rows[np.sort(order[np.append(changes, True)])]
        return chosen

    def _events(self, chunk: _Chunk, rows: _Numbers) -> Events:
        fields = self._view.aggregated_fields
        names = [value_name(number) for number, _ in enumerate(fields)]
        taken = chunk.table.select(names).take(pa.array(chunk.order[rows]))
        layout = algebra_of(self._view).layout
        at = chunk.at[rows]
        if not self._view.event_key:
            # Times are ascending then, and nothing else is needed to order them.
            return events_of(layout, taken.columns, at)
        sequences, ties = chunk.integers(SEQUENCE, rows), chunk.integers(TIE, rows)
        return events_of(layout, taken.columns, at, sequences, ties)


def _whole_keys(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables that part no key."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if size >= ROWS_AT_ONCE:
            first = _first_of_last_key(batch, waiting[-1])
            if first is not None:
                yield pa.Table.from_batches([*waiting, batch.slice(0, first)])
                waiting, size = [], 0
                batch = batch.slice(first)
        waiting.append(batch)
        size += batch.num_rows
    if size:
        yield pa.Table.from_batches(waiting)


def _first_of_last_key(batch: pa.RecordBatch, before: pa.RecordBatch) -> int | None:
    """Where the last key of a batch begins; None if it may have begun before."""
    hashes = batch.column(KEY).to_numpy()
    if not hashes.size:
        return None
    first = int(np.searchsorted(hashes, hashes[-1]))
    is_new = first > 0 or (before.num_rows and before.column(KEY)[-1].as_py() != hashes[0])
    return first if is_new else None


def _chunk(table: pa.Table, has_event_key: bool) -> _Chunk:
    marks = _integers(table, MARK)
    keys = _key_numbers(_integers(table, KEY), marks >> 1)
    is_question = (marks & 1).astype(bool)
    moments, ranks = np.unique(_integers(table, AT), return_inverse=True)
    places = (keys * moments.size + ranks) * 2 + is_question
    order = np.argsort(places)
    ordered = places[order]
    if ((ordered[1:] == ordered[:-1]) & ~is_question[order][1:]).any():
        # Only events of one key and time have to be compared by recency.
        recency = [
            _integers(table, name) for name in ((TIE, SEQUENCE) if has_event_key else (SEQUENCE,))
        ]
        order = np.lexsort((*recency, places))
    return _Chunk(table, order, keys[order], moments, ranks[order], is_question[order])


def _key_numbers(hashes: _Numbers, others: _Numbers) -> _Numbers:
    """A number for each key, ascending with *hashes*, which are sorted."""
    changes = hashes[1:] != hashes[:-1]
    numbers: _Numbers = np.append(0, np.cumsum(changes))
    if ((others[1:] != others[:-1]) & ~changes).any():
        # Keys share a hash, and their rows may stand in any order.
        pairs = np.stack([numbers, others], axis=1)
        numbers = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return numbers


def _integers(table: pa.Table, name: str) -> _Numbers:
    numbers: _Numbers = (
        pc.fill_null(table.column(name), 0).combine_chunks().to_numpy(zero_copy_only=False)
    )
    return numbers
