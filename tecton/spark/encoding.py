"""
Frames of typed columns → bodies and feature rows, in Python, so that they equal the service's.

The functions made here run on executors, by `mapInArrow`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from tecton.applied import AppliedView
from tecton.arrow_rows import canonical_values, feature_rows
from tecton.packed import as_told_apart
from tecton.rows import encode_body
from tecton.stores import OnlineStore
from tecton.types import Field

BODY = "#body"
EVENT = "#event"
MICROS = "#micros"
OFFERED = "offered"
"""Names that no column of a schema can have."""

_Batches = Iterable[pa.RecordBatch]


def event_fields(view: AppliedView) -> list[Field]:
    """The columns that tell events of one key and timestamp apart."""
    return [field for field in view.row_fields if field.name in view.event_key]


def with_bodies(view: AppliedView) -> Callable[[_Batches], _Batches]:
    """
    A function for `mapInArrow` that adds each row's body, and its event key's encoding.

    Args:
        view: Its columns are in the frame, under their names.
    """
    apart = event_fields(view)

    def add(batches: _Batches) -> _Batches:
        for batch in batches:
            columns = [*batch.columns, _bodies(batch, view.value_fields)]
            names = [*batch.schema.names, BODY]
            if apart:
                columns.append(_event_keys(batch, apart))
                names.append(EVENT)
            yield pa.RecordBatch.from_arrays(columns, names=names)

    return add


def offer_to(
    view: AppliedView, open_online: Callable[[], OnlineStore]
) -> Callable[[_Batches], _Batches]:
    """
    A function for `mapInArrow` that offers each row to the online store.

    It yields one row for each batch, with the number of rows `offered`.

    Args:
        view: Its columns are in the frame, with the timestamp in µs as `#micros`, `_sequence`,
            and for an aggregating view `_tie`.
        open_online: Connects to the online store; called on the executor.
    """

    def offer(batches: _Batches) -> _Batches:
        online = None
        for batch in batches:
            online = online or open_online()
            online.upsert(feature_rows(view, batch, MICROS))
            yield pa.RecordBatch.from_pydict({OFFERED: pa.array([batch.num_rows], pa.int64())})
            while online.tidy():
                pass

    return offer


def _event_keys(batch: pa.RecordBatch, fields: Sequence[Field]) -> pa.Array:
    columns = [canonical_values(batch, field) for field in fields]
    keys = (encode_body(as_told_apart(row)) for row in zip(*columns, strict=True))
    return pa.array(list(keys), pa.binary())


def _bodies(batch: pa.RecordBatch, fields: Sequence[Field]) -> pa.Array:
    if not fields:
        return pa.array([encode_body([])] * batch.num_rows, pa.binary())
    columns = [canonical_values(batch, field) for field in fields]
    return pa.array([encode_body(row) for row in zip(*columns, strict=True)], pa.binary())
