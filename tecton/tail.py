"""
The batches of a push log that the online store was never offered → offered, in few calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tecton.errors import StoreUnavailable
from tecton.failpoints import Point, reach
from tecton.rows import FeatureRow
from tecton.stores import LogEntry, OnlineStore

RECORDS_PER_CALL = 2_000
"""A batch is often a handful of records, and each call is a round trip."""


def replay_tail(
    online: OnlineStore,
    log: str,
    applied: int,
    last_batch: int,
    batches: Iterable[Sequence[LogEntry]],
    rows_of: Callable[[Sequence[LogEntry]], Sequence[FeatureRow]],
) -> int:
    """
    Bring the online store up to the end of a push log.

    Harmless beside the log's owner: offers commute, and the watermark only rises.

    Args:
        online: The online store.
        log: The log's name.
        applied: The newest batch that was offered, with all before it.
        last_batch: The newest batch of the log.
        batches: All that are above *applied* and still there, in order, each whole.
        rows_of: The feature rows of records.

    Returns:
        The greatest sequence that was offered, 0 if there was nothing.

    Raises:
        StoreUnavailable: The online store does not answer, or has lost data meanwhile.
    """
    sequence = 0
    for entries in _joined(batches):
        last = entries[-1]
        sequence = max(sequence, last.sequence)
        _apply(online, log, applied, last.batch_no, rows_of(entries), sequence)
        applied = last.batch_no
    if applied < last_batch:
        # Their records have been deleted since: too old to be served, or erased.
        _apply(online, log, applied, last_batch, (), 0)
    return sequence


def _apply(
    online: OnlineStore,
    log: str,
    applied: int,
    batch_no: int,
    rows: Sequence[FeatureRow],
    sequence: int,
) -> None:
    reach(Point.REPLAY)
    if not online.apply(log, applied, batch_no, rows, sequence):
        raise StoreUnavailable("the online store lost data while it was being filled")


def _joined(batches: Iterable[Sequence[LogEntry]]) -> Iterator[Sequence[LogEntry]]:
    """Neighbouring batches as one."""
    waiting: list[LogEntry] = []
    for batch in batches:
        waiting += batch
        if len(waiting) >= RECORDS_PER_CALL:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
