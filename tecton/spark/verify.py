"""
What the online store answers now, against what the offline rows say for the same instant.

Each key is asked online, then offline at the online answer's own time, then online again. One that
differs is asked a second time before it counts: a record may have been on its way. One whose
online answer changed between its two readings is asked again, and told apart if it never rests.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from tecton.applied import AppliedView, WorkspaceState
from tecton.arrow_rows import canonical_values
from tecton.errors import JobFailed, StoreUnavailable
from tecton.rows import decode_body, encode_key
from tecton.spark.columns import column
from tecton.spark.events import ROW, pandas_events
from tecton.spark.frames import to_arrow
from tecton.spark.point_in_time import ViewPart, join
from tecton.spark.tables import JobStores
from tecton.spark.tolerances import Tolerances
from tecton.spark.view_rows import Span, view_rows
from tecton.stores import Aggregated, OnlineStore, Stored
from tecton.timestamps import micros_of
from tecton.types import Field, Float64

ROUNDS = 5
"""How often a key is asked at most."""

EXAMPLES = 5
"""Keys that are named of each kind of difference of a feature."""

WALKED_KEYS = 1_000_000
"""How many keys of the online store are looked at to draw a sample."""

_KEYS_PER_READ = 200
_TIME = "#time"
_Key = tuple[Any, ...]
_Answer = Stored | Aggregated | None


class Difference(NamedTuple):
    """A feature whose values differ.

    Args:
        feature: Its name.
        kind: "mismatch"; "missing": null online, not offline; "extra": null offline, not online.
    """

    feature: str
    kind: str


@dataclass
class Verified:
    """What came of a comparison.

    Args:
        view: Name of the view.
        features: Its features.
        keys: How many keys were compared.
        restless: Keys whose online answer changed all the time; they were not compared.
        found: For each difference the keys, as JSON objects.
    """

    view: str
    features: Sequence[str]
    keys: int = 0
    restless: list[str] = field(default_factory=list)
    found: dict[Difference, list[str]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """The report, for people."""
        for feature in self.features:
            kinds = {d.kind: keys for d, keys in self.found.items() if d.feature == feature}
            counts = ", ".join(
                f"{len(kinds.get(kind, ())):,} {kind}" for kind in ("mismatch", "missing", "extra")
            )
            yield f"{self.view}.{feature}: {counts}"
            for kind, keys in kinds.items():
                yield from (f"  {kind}: {key}" for key in sorted(keys)[:EXAMPLES])
        if self.restless:
            yield f"{len(self.restless):,} join keys changed all the time and were left out"


def verify(
    stores: JobStores, state: WorkspaceState, view: AppliedView, sample: int, seed: int
) -> Iterator[str]:
    """
    Compare a view's answers for some join keys, online and offline.

    Args:
        stores: What the job works on.
        state: The workspace.
        view: A view with `online=True`.
        sample: How many join keys of the offline rows; as many of those in the online store.
        seed: Decides which.

    Yields:
        Lines of the report.

    Raises:
        JobFailed: The view is not served, or its answers differ.
        ViewNotLoaded: The view's rows are not all in the online store.
    """
    if not view.online:
        raise JobFailed(f"feature view {view.name} has no online=True, so there is one answer only")
    online = stores.open_online()
    kept = _offline_keys(stores, state, view, sample, seed)
    try:
        served = _online_keys(online, view, sample, seed)
    except StoreUnavailable as exc:
        served = []
        yield f"keys that only Redis has are not looked for: {exc}"
    keys = list(dict.fromkeys((*kept, *served)))
    yield (
        f"{view.name}: {len(keys):,} join keys, {len(kept):,} drawn from the offline rows and "
        f"{len(served):,} from Redis"
    )
    report = _Comparison(stores, state, view, online).run(keys)
    yield from report.lines()
    if report.found:
        different = {key for keys_of in report.found.values() for key in keys_of}
        raise JobFailed(
            f"{len(different):,} of {report.keys:,} join keys of {view.name} differ between online "
            "and offline"
        )


class _Comparison:
    """Compares keys of one view."""

    def __init__(
        self, stores: JobStores, state: WorkspaceState, view: AppliedView, online: OnlineStore
    ) -> None:
        self._stores = stores
        self._state = state
        self._view = view
        self._online = online
        self._tolerances = Tolerances(view)

    def run(self, keys: Sequence[_Key]) -> Verified:
        """Compare until every key has come to rest, or a bound is reached."""
        report = Verified(self._view.name, [field.name for field in self._view.features], len(keys))
        suspected: set[_Key] = set()
        for _ in range(ROUNDS):
            if not keys:
                return report
            again = []
            for key, is_still, differences in self._round(keys):
                if differences and not (is_still and key in suspected):
                    again.append(key)
                    differences = []
                (suspected.add if is_still else suspected.discard)(key)
                for difference in differences:
                    report.found.setdefault(difference, []).append(self._named(key))
            keys = again
        report.restless = [self._named(key) for key in keys]
        report.keys -= len(keys)
        return report

    def _round(self, keys: Sequence[_Key]) -> Iterator[tuple[_Key, bool, list[Difference]]]:
        """Each key, whether its online answer stayed as it was, and what differs."""
        now = micros_of(self._stores.clock())
        before = self._answers(keys, now)
        times = [_effective(answer, now) for answer in before]
        offline = self._offline(keys, times)
        after = self._answers(keys, now)
        for key, at, first, second, values in zip(keys, times, before, after, offline, strict=True):
            yield key, first == second, self._differences(self._values(first, at), values)

    def _answers(self, keys: Sequence[_Key], now: int) -> list[_Answer]:
        view = self._view
        answers: list[_Answer] = []
        for start in range(0, len(keys), _KEYS_PER_READ):
            part = [encode_key(key) for key in keys[start : start + _KEYS_PER_READ]]
            if view.aggregations:
                answers += self._online.aggregate([(view, key) for key in part], now)
            else:
                answers += self._online.read([(view.online_id, key) for key in part])
        return answers

    def _values(self, answer: _Answer, at: int) -> Mapping[str, Any]:
        """The features as a read at that time answers them."""
        if isinstance(answer, Aggregated):
            return answer.values
        ttl = self._view.ttl_micros
        if answer is None or (ttl is not None and at - answer.timestamp > ttl):
            return {}
        names = (field.name for field in self._view.value_fields)
        return dict(zip(names, decode_body(answer.body), strict=True))

    def _differences(
        self, online: Mapping[str, Any], offline: Mapping[str, Any]
    ) -> list[Difference]:
        found = []
        for name in [feature.name for feature in self._view.features]:
            served, kept = online.get(name), offline[name]
            if served is None or kept is None:
                if served is not None or kept is not None:
                    found.append(Difference(name, "missing" if served is None else "extra"))
            elif not self._tolerances.agree(name, served, offline):
                found.append(Difference(name, "mismatch"))
        return found

    def _offline(self, keys: Sequence[_Key], times: Sequence[int]) -> list[dict[str, Any]]:
        """The features of each key at its time, from offline and push tables."""
        stores, view = self._stores, self._tolerances.view
        names = [field.name for field in view.key_fields]
        features = view.features
        part = ViewPart(view, view.name, [f.name for f in features], {name: name for name in names})
        events, _ = pandas_events(stores.spark, _events(view, keys, times), [part], _TIME)
        oldest = view.oldest_seen(min(times))
        rows = _rows(stores, self._state, self._view, Span(oldest, max(times)))
        answered = join(events, [(part, rows)], as_known=False)
        table = to_arrow(answered).sort_by(ROW)
        columns = [
            Field(name, feature.dtype) for name, feature in zip(part.columns, features, strict=True)
        ]
        answers: list[dict[str, Any]] = []
        for batch in table.to_batches():
            values = (canonical_values(batch, wanted) for wanted in columns)
            answers += (
                dict(zip(part.features, row, strict=True)) for row in zip(*values, strict=True)
            )
        return answers

    def _named(self, key: _Key) -> str:
        names = (field.name for field in self._view.key_fields)
        return json.dumps(dict(zip(names, key, strict=True)), ensure_ascii=False)


def _effective(answer: _Answer, now: int) -> int:
    """The time of an online answer (contract §1, values)."""
    if isinstance(answer, Aggregated):
        return answer.at
    return now if answer is None else max(now, answer.timestamp)


def _events(view: AppliedView, keys: Sequence[_Key], times: Sequence[int]) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for position, key_field in enumerate(view.key_fields):
        values = [key_field.dtype.to_native(key[position]) for key in keys]
        kind = "float64" if key_field.dtype == Float64 else object
        columns[key_field.name] = pd.Series(values, dtype=kind)
    moments = pd.Series(np.array(times, "datetime64[us]"))
    return pd.DataFrame({**columns, _TIME: moments.dt.tz_localize("UTC")})


def _rows(stores: JobStores, state: WorkspaceState, view: AppliedView, span: Span) -> DataFrame:
    """All rows of a view that its online answers can come from."""
    rows = view_rows(stores, state, view, None, span)
    if view.offline or state.source_by_name[view.source].batch is None:
        return rows
    # Batch rows are in no table of ours; those of a period that no run has offered are not online.
    ends = [run.end for run in stores.runs.of(state.folder, view.name) if run.view_id == view.id]
    is_offered = F.unix_micros(column(view.timestamp_field)) < max(map(micros_of, ends), default=0)
    return rows.where((F.col("_sequence") > 0) | is_offered)


def _offline_keys(
    stores: JobStores, state: WorkspaceState, view: AppliedView, sample: int, seed: int
) -> list[_Key]:
    now = micros_of(stores.clock())
    rows = _rows(stores, state, view, Span(view.oldest_seen(now)))
    names = [column(field.name) for field in view.key_fields]
    keys = rows.select(*names).dropna().distinct()
    drawn = keys.orderBy(F.xxhash64(F.lit(seed), *names), *names).limit(sample)
    table = to_arrow(drawn)
    found: list[_Key] = []
    for batch in table.to_batches():
        columns = [canonical_values(batch, field) for field in view.key_fields]
        found += zip(*columns, strict=True)
    return found


def _online_keys(online: OnlineStore, view: AppliedView, sample: int, seed: int) -> list[_Key]:
    def draw(key: str) -> bytes:
        return hashlib.sha256(f"{seed}:{key}".encode()).digest()

    walked = islice(online.keys(view.online_id), WALKED_KEYS)
    return [tuple(json.loads(key)) for key in heapq.nsmallest(sample, walked, key=draw)]
