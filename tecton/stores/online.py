"""
The port of what feature views answer now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from tecton.applied import AppliedView
from tecton.rows import FeatureRow
from tecton.stores.windows import WindowStore


class Stored(NamedTuple):
    """The newest row of a key; `body` as `rows.encode_body` spells it."""

    timestamp: int
    sequence: int
    body: bytes


class Doubt(NamedTuple):
    """The online store cannot tell which sequences were taken: it is new, or has lost data.

    Args:
        life: What it calls its counter from now on, until it loses that again.
    """

    life: str


class Reached(NamedTuple):
    """How far the rows of a view in the online store have come, besides what is pushed.

    Args:
        batch: Up to which job's rows, by the numbers of a `BatchLedger`; 0 for none.
        erased: Up to which erasure, its sequence; 0 for none.
    """

    batch: int = 0
    erased: int = 0


NOTHING_REACHED = Reached()


class OnlineStore(WindowStore, Protocol):
    """
    What each feature view would answer now, by join key.

    Safe to call from many processes. Of the rows offered for a key the one with the greatest
    (timestamp, sequence, body) stays, whatever the order of rows or of calls; of an aggregating
    view every event.
    """

    def reserve(
        self, workspace: str, count: int, now: int, given: int, life: str = ""
    ) -> int | Doubt:
        """
        Take *count* new sequences, above all that were taken of this workspace.

        A store that may have lost data is in doubt, and gives nothing until somebody has looked
        into the logs: `sequences.take_sequences`.

        Args:
            workspace: Its id.
            count: How many.
            now: They are at least this, µs since the epoch.
            given: They are above this, which the caller knows to have been taken.
            life: What a doubt has named. The caller has looked into the logs since, and *given* is
                no less than any sequence there.

        Returns:
            The first, or a doubt.
        """

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer rows; several may share a key."""

    def apply(
        self,
        log: str,
        previous: int,
        batch_no: int,
        rows: Sequence[FeatureRow],
        sequence: int = 0,
    ) -> bool:
        """
        Offer the rows of one batch of a push log and remember that they were offered.

        Args:
            log: The log's name.
            previous: The batch before.
            batch_no: The batch.
            rows: Its rows.
            sequence: Its greatest. What `reserve` gives from now on is above it, whether there is
                a gap or not; 0: nothing is said.

        Returns:
            False if the batch *previous* was never applied: the store, or a part of it, has lost
            data, and the log must be replayed from `applied_batch`. A part that has lost data
            takes nothing.
        """

    def applied_batch(self, log: str) -> int:
        """The newest batch of *log* up to which all are applied in all parts, 0 for none."""

    def read(self, keys: Sequence[tuple[str, str]]) -> Sequence[Stored | None]:
        """
        The newest row for each (view, key), in one round trip.

        Raises:
            ViewNotLoaded: One of the views is not marked as loaded.
        """

    def erase(self, view: AppliedView, keys: Sequence[str], sequence: int) -> None:
        """Delete what was accepted of some join keys up to *sequence*; may be done again."""

    def keys(self, view: str) -> Iterator[str]:
        """
        The join keys of which the store has something in a view, some maybe twice.

        Those that come or go meanwhile may be among them or not. Looks at every key of the store,
        some at a time.
        """

    def begin_load(self, view: str, erased: int = 0) -> str:
        """
        Say that rows of a view are going to be offered; answers what to end it with.

        Args:
            view: The view.
            erased: Of a view that nobody reads: up to which erasure it shall have come. If it has
                not, rows that were erased may be among those it has, so all of these go first.
                They stay where the store may not list them.
        """

    def mark_loaded(
        self, views: Sequence[str], load: str | None = None, reached: Reached = NOTHING_REACHED
    ) -> None:
        """
        Say that all rows of these views are there, so that a missing key means no row.

        Args:
            views: The views.
            load: What `begin_load` has answered; None where there was nothing to offer.
            reached: How far the views have come with it, see `advance`.

        Raises:
            StoreUnavailable: The store has lost data since the load began; load again.
        """

    def unmark(self, views: Sequence[str]) -> None:
        """Take the marks of loaded views away, so that they are loaded again."""

    def advance(self, view: str, reached: Reached, load: str | None = None) -> None:
        """
        Say how far a view has come; it never goes back.

        Args:
            view: The view.
            reached: Everything up to it is done.
            load: What `begin_load` has answered before the rows were offered; it is over then.

        Raises:
            StoreUnavailable: The store has lost data since the load began; offer the rows again.
        """

    def reached(self, views: Sequence[str]) -> Sequence[Reached]:
        """How far views have come. Less than was said: the store has lost what came since."""

    def unloaded(self, views: Sequence[str]) -> Sequence[str]:
        """Those of *views* that are not marked as loaded."""

    def forget(self, views: Sequence[str]) -> int:
        """
        Delete all that there is of views which nobody reads or writes any more.

        A read that goes on nevertheless finds them not loaded before it misses any row. Looks at
        every key of the store, some at a time; answers how many join keys there were. Where that is
        not allowed it changes nothing.
        """
