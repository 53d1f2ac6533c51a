"""
Rows of the runs table → those that decide what is due, without a Python object for each.

A year of daily runs of 200 views is 300,000 rows; what is due is asked every minute.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tecton.stores import MAINTENANCE, PERIOD, PUSHED, SUCCESS

_NEW_COLUMNS = ("run_id", "attempt", "state", "online", "offline")


def merged_rows(rows: pa.Table) -> pa.Table:
    """
    Drop and merge rows that say nothing more about what is due.

    Args:
        rows: The table's columns, times as integers; old rows may have nulls.
    """
    if rows.num_rows == 0 or any(name not in rows.column_names for name in _NEW_COLUMNS):
        return rows
    is_well = pc.equal(pc.fill_null(rows.column("state"), SUCCESS), SUCCESS)
    well = rows.filter(is_well)
    # Whatever else became of a job that ended well in the end.
    rest = rows.filter(pc.invert(is_well))
    rest = rest.filter(pc.invert(pc.is_in(rest.column("run_id"), well.column("run_id"))))
    # Where something has failed for good the order of attempts decides.
    is_closed = pc.invert(pc.is_in(well.column("view_id"), rest.column("view_id")))
    is_one_after_another = pc.is_in(well.column("kind"), pa.array([PUSHED, MAINTENANCE]))
    is_last = pc.and_(is_one_after_another, is_closed)
    is_period = pc.and_(pc.equal(well.column("kind"), PERIOD), is_closed)
    others = well.filter(pc.invert(pc.or_(is_last, is_period)))
    parts = [rest, others, _last(well.filter(is_last)), _joined(well.filter(is_period))]
    return pa.concat_tables(parts)


def _last(rows: pa.Table) -> pa.Table:
    """Of each view and kind the row with the latest end."""
    codes = _codes(rows, "view_id", "kind")
    order = np.lexsort((_numbers(rows, "end"), codes))
    is_last = np.append(codes[order][1:] != codes[order][:-1], True)[: len(order)]
    return rows.take(pa.array(order[is_last]))


def _joined(rows: pa.Table) -> pa.Table:
    """One row for periods of a view, for the same stores, that touch or overlap."""
    if rows.num_rows == 0:
        return rows
    codes = _codes(rows, "view_id", "online", "offline")
    starts, ends = _numbers(rows, "start"), _numbers(rows, "end")
    order = np.lexsort((ends, starts, codes))
    codes, starts, ends = codes[order], starts[order], ends[order]
    # Greatest end so far within the group: groups lie apart, so one running maximum does.
    span = ends.max() - starts.min() + 1
    reached = np.maximum.accumulate(ends - starts.min() + codes * span)
    begins = starts - starts.min() + codes * span
    is_first = np.append(True, begins[1:] > reached[:-1])
    firsts = np.flatnonzero(is_first)
    joined = rows.take(pa.array(order[firsts]))
    last = np.append(firsts[1:], len(order)) - 1
    until = reached[last] + starts.min() - codes[last] * span
    return joined.set_column(
        joined.schema.get_field_index("end"), "end", pa.array(until, pa.int64())
    )


def _numbers(rows: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(rows.column(name).to_numpy(), np.int64)


def _codes(rows: pa.Table, *names: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A number for each combination of values."""
    codes = np.zeros(rows.num_rows, np.int64)
    for name in names:
        column = rows.column(name)
        if pa.types.is_boolean(column.type):
            column = pc.fill_null(column, True)
        encoded = pc.dictionary_encode(column).combine_chunks()
        indices = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
        codes = codes * (len(encoded.dictionary) + 1) + indices
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
