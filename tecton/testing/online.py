"""
The online store in memory, which can lose what it has as Redis does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

from tecton.applied import AppliedView, new_id, workspace_of_log
from tecton.errors import StoreUnavailable, ViewNotLoaded
from tecton.rows import FeatureRow
from tecton.stores import NOTHING_REACHED, Aggregated, Doubt, Reached, Stored
from tecton.testing.windows import InMemoryWindows
from tecton.tombstones import accepted_micros


class _Counter(NamedTuple):
    """The sequences of a workspace: `adapters/reserve.lua` tells what each field is for."""

    last: int = 0
    server: str = ""
    life: str = ""
    sure: str | None = None


class InMemoryOnlineStore:
    """`stores.OnlineStore` in memory. `rows` is what it holds, by (view, key)."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], FeatureRow] = {}
        self.windows = InMemoryWindows()
        self.is_down = False
        self._loaded: set[str] = set()
        self._loads: set[tuple[str, str]] = set()
        self._reached: dict[str, Reached] = {}
        self._applied: dict[str, int] = {}
        self._counters: dict[str, _Counter] = {}
        self._server = new_id()

    def reserve(
        self, workspace: str, count: int, now: int, given: int, life: str = ""
    ) -> int | Doubt:
        """Take *count* new sequences."""
        self._check()
        counter = self._counters.get(workspace, _Counter())
        is_sure = counter.life == counter.sure
        if counter.server != self._server or (is_sure and counter.last < given):
            counter = _Counter(counter.last, self._server, new_id())
            is_sure = False
        if not is_sure and counter.life != life:
            self._counters[workspace] = counter
            return Doubt(counter.life)
        first = max(counter.last + 1, now, given + 1)
        self._counters[workspace] = counter._replace(last=first + count - 1, sure=counter.life)
        return first

    def upsert(self, rows: Iterable[FeatureRow]) -> None:
        """Offer rows."""
        self._check()
        for row in rows:
            stored = self.rows.get((row.view, row.key))
            if row.event is not None:
                self.windows.upsert([row])
            elif stored is None or row.order > stored.order:
                self.rows[row.view, row.key] = row

    def apply(
        self,
        log: str,
        previous: int,
        batch_no: int,
        rows: Sequence[FeatureRow],
        sequence: int = 0,
    ) -> bool:
        """Offer the rows of one batch, if all before it were offered."""
        self._check()
        counter = self._counters.get(workspace := workspace_of_log(log), _Counter())
        self._counters[workspace] = counter._replace(last=max(counter.last, sequence))
        applied = self._applied.get(log, 0)
        if applied < previous:
            return False
        self.upsert(rows)
        self._applied[log] = max(applied, batch_no)
        return True

    def applied_batch(self, log: str) -> int:
        """The newest batch of *log* up to which all are applied."""
        self._check()
        return self._applied.get(log, 0)

    def read(self, keys: Sequence[tuple[str, str]]) -> Sequence[Stored | None]:
        """The newest row for each (view, key)."""
        self._check_loaded(view for view, _ in keys)
        found = [self.rows.get(key) for key in keys]
        return [row and Stored(row.timestamp, row.sequence, row.body) for row in found]

    def aggregate(
        self, keys: Sequence[tuple[AppliedView, str]], now: int
    ) -> Sequence[Aggregated | None]:
        """The aggregates of each (view, key)."""
        self._check_loaded(view.online_id for view, _ in keys)
        return self.windows.aggregate(keys, now)

    def tidy(self) -> int:
        """Nothing is ever untidy here."""
        return self.windows.tidy()

    def erase(self, view: AppliedView, keys: Sequence[str], sequence: int) -> None:
        """Delete what was accepted of some join keys up to *sequence*."""
        self._check()
        for key in keys:
            row = self.rows.get((view.online_id, key))
            if row is not None and accepted_micros(row.sequence) <= sequence:
                del self.rows[view.online_id, key]
            events = self.windows.events.get((view.online_id, key), {})
            for place in [p for p, e in events.items() if accepted_micros(e.sequence) <= sequence]:
                del events[place]

    def keys(self, view: str) -> Iterator[str]:
        """The join keys of which there is something in a view."""
        self._check()
        yield from [key for name, key in [*self.rows, *self.windows.events] if name == view]

    def begin_load(self, view: str, erased: int = 0) -> str:
        """Say that rows of a view are going to be offered."""
        [has] = self.reached([view])
        if has.erased < erased:
            self.forget([view])
            self.advance(view, Reached(erased=erased))
        self._loads.add((view, load := new_id()))
        return load

    def mark_loaded(
        self, views: Sequence[str], load: str | None = None, reached: Reached = NOTHING_REACHED
    ) -> None:
        """Say that all rows of these views are there."""
        self._check()
        if load is not None and not {(view, load) for view in views} <= self._loads:
            raise StoreUnavailable("the online store has lost data since the load began")
        for view in views:
            self.advance(view, reached)
        self._loaded.update(views)

    def unmark(self, views: Sequence[str]) -> None:
        """Take the marks of loaded views away."""
        self._check()
        self._loaded -= set(views)

    def advance(self, view: str, reached: Reached, load: str | None = None) -> None:
        """Say how far a view has come."""
        self._check()
        if load is not None and (view, load) not in self._loads:
            raise StoreUnavailable("the online store has lost data since the load began")
        self._loads.discard((view, load or ""))
        known = self._reached.get(view, Reached())
        self._reached[view] = Reached(*map(max, known, reached))

    def reached(self, views: Sequence[str]) -> Sequence[Reached]:
        """How far views have come."""
        self._check()
        return [self._reached.get(view, Reached()) for view in views]

    def unloaded(self, views: Sequence[str]) -> Sequence[str]:
        """Those of *views* that are not marked as loaded."""
        self._check()
        return [view for view in views if view not in self._loaded]

    def forget(self, views: Sequence[str]) -> int:
        """Delete all that there is of views."""
        self._check()
        self.unmark(views)
        self._reached = {view: far for view, far in self._reached.items() if view not in views}
        self._loads = {load for load in self._loads if load[0] not in views}
        gone = [key for key in [*self.rows, *self.windows.events] if key[0] in views]
        for key in gone:
            self.rows.pop(key, None)
            self.windows.events.pop(key, None)
        return len(gone)

    def flush(self) -> None:
        """Lose everything, as an emptied Redis does."""
        self.__init__()  # type: ignore[misc]  # exactly a new one

    def saved(self) -> Mapping[str, Any]:
        """What it holds now, for `restore`; like a snapshot on a disk."""
        kept = ("rows", "_loaded", "_applied", "_counters", "_reached")
        return {name: copy(getattr(self, name)) for name in kept} | {
            "windows": {place: dict(events) for place, events in self.windows.events.items()}
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Hold what it held once, as a Redis that starts from an old snapshot."""
        self.flush()
        for name, value in saved.items():
            if name != "windows":
                setattr(self, name, copy(value))
        self.windows.events = {place: dict(one) for place, one in saved["windows"].items()}

    def _check_loaded(self, views: Iterable[str]) -> None:
        self._check()
        if not set(views) <= self._loaded:
            raise ViewNotLoaded("a view is not loaded")

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the online store is down")
