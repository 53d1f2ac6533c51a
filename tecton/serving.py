"""
The read path: a feature vector for the join keys of a request (contract §4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tecton.access import Role, ServiceAccount
from tecton.applied import AppliedService, AppliedView, ServiceFeatures, WorkspaceState
from tecton.catalog import Catalog
from tecton.errors import NotFound, RequestError, ViewNotLoaded
from tecton.rows import decode_body, encode_key
from tecton.stores import Aggregated, OnlineStore, Stored
from tecton.timestamps import micros_of
from tecton.types import DataType, Int64, ValueMismatch, cut, show

NO_SERVICE = (
    "Unable to query FeatureService `{service}` for workspace `{workspace}`. Newly created feature "
    "services may take up to 60 seconds to query. Also, ensure that the workspace is a "
    '"live" workspace.'
)
MISSING_KEY = "Missing required join key: {key}"


class FeatureValue(NamedTuple):
    """One feature of a vector.

    Args:
        name: `namespace.feature`.
        dtype: Its type.
        value: Canonical; None where null or missing.
        timestamp: Of the event it comes from, µs since the epoch; of an aggregate, where its
            window ends; None where missing.
    """

    name: str
    dtype: DataType
    value: Any
    timestamp: int | None

    @property
    def is_present(self) -> bool:
        """Is there an event in reach, whatever its value?"""
        return self.timestamp is not None


class _Lookup(NamedTuple):
    """What is read for one view of a service."""

    view: AppliedView
    key: str


_Answer = Stored | Aggregated | None


class Serving:
    """The verb behind `get-features`.

    Args:
        catalog: Definitions and roles.
        online: The online store.
    """

    def __init__(self, catalog: Catalog, online: OnlineStore) -> None:
        self._catalog = catalog
        self._online = online

    def get_features(
        self,
        workspace: str,
        service: str,
        join_keys: Mapping[str, Any],
        account: ServiceAccount,
        now: datetime,
    ) -> list[FeatureValue]:
        """
        The feature vector of a feature service for one set of join keys.

        Args:
            workspace: Name of the workspace.
            service: Name of the feature service.
            join_keys: JSON values by name; all that the service needs and no other.
            account: Who asks.
            now: The clock, UTC.

        Returns:
            Views by namespace, features by name inside.

        Raises:
            RequestError: As contract §4 says.
            ViewNotLoaded: A view's rows are not all in the online store.
        """
        state = self._catalog.workspace(workspace)
        if state is None:
            raise NotFound(NO_SERVICE.format(service=cut(service), workspace=cut(workspace)))
        self._catalog.require(account, state, Role.CONSUMER)
        found = state.service_by_name.get(service)
        if found is None or not state.live or not found.online_serving_enabled:
            raise NotFound(NO_SERVICE.format(service=cut(service), workspace=cut(workspace)))
        at = micros_of(now)
        keys = _key_values(input_join_keys(state, found), join_keys)
        views = [state.view_by_name[taken.view] for taken in found.views]
        try:
            return self._vector(found, views, keys, at)
        except ViewNotLoaded:
            # While a view is filled anew the generation before it is read.
            return self._of_loaded(state, found, keys, at)

    def _of_loaded(
        self, state: WorkspaceState, service: AppliedService, keys: Mapping[str, Any], at: int
    ) -> list[FeatureValue]:
        """The vector from those generations of views that are loaded."""
        try:
            return self._vector(service, self._loaded(state, service), keys, at)
        except ViewNotLoaded:
            # A newer one may have been loaded in between, and the one before it gone.
            return self._vector(service, self._loaded(state, service), keys, at)

    def _vector(
        self,
        service: AppliedService,
        views: Sequence[AppliedView],
        keys: Mapping[str, Any],
        at: int,
    ) -> list[FeatureValue]:
        """The vector from given generations of a service's views."""
        pairs = list(zip(service.views, views, strict=True))
        lookups = [_lookup(taken, view, keys) for taken, view in pairs]
        values: list[FeatureValue] = []
        for (taken, view), answer in zip(pairs, self._answers(lookups, at), strict=True):
            values += _values(view, taken, answer, at)
        return values

    def _loaded(self, state: WorkspaceState, service: AppliedService) -> list[AppliedView]:
        """
        For each view of a service the newest generation that the online store holds.

        Raises:
            ViewNotLoaded: There is none that answers what the service asks for.
        """
        views = [state.view_by_name[taken.view] for taken in service.views]
        candidates = [
            [view, *(former for former in state.replaced_by(view) if _fits(former, view, taken))]
            for taken, view in zip(service.views, views, strict=True)
        ]
        asked = [view.online_id for several in candidates for view in several]
        missing = set(self._online.unloaded(asked))
        found = []
        for several in candidates:
            loaded = [view for view in several if view.online_id not in missing]
            if not loaded:
                raise ViewNotLoaded(
                    f"the backfill of feature view {several[0].name} has not ended yet",
                    retry_after=5,
                )
            found.append(loaded[0])
        return found

    def _answers(self, lookups: Sequence[_Lookup | None], at: int) -> Iterator[_Answer]:
        """What the online store has for each lookup; None too where a join key is null."""
        wanted = [lookup for lookup in lookups if lookup is not None]
        plain = [(view.online_id, key) for view, key in wanted if not view.aggregations]
        windowed = [(view, key) for view, key in wanted if view.aggregations]
        rows = iter(self._online.read(plain))
        aggregates = iter(self._online.aggregate(windowed, at) if windowed else ())
        for lookup in lookups:
            if lookup is None:
                yield None
            else:
                yield next(aggregates) if lookup.view.aggregations else next(rows)


def input_join_keys(state: WorkspaceState, service: AppliedService) -> dict[str, DataType]:
    """The join keys that a request must give, with their types, sorted by name."""
    keys = {
        taken.service_key(field.name): field.dtype
        for taken in service.views
        for field in state.view_by_name[taken.view].key_fields
    }
    return dict(sorted(keys.items()))


def _fits(former: AppliedView, view: AppliedView, taken: ServiceFeatures) -> bool:
    """Has a former generation of a view the features that a service takes, by the same keys?"""
    had = {field.name: field.dtype for field in former.features}
    has = {field.name: field.dtype for field in view.features}
    same_keys = set(former.key_fields) == set(view.key_fields)
    return same_keys and all(had.get(name) == has[name] for name in taken.features)


def _key_values(needed: Mapping[str, DataType], given: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical values of a request's join keys, by name."""
    for name in needed:
        if name not in given:
            raise RequestError(MISSING_KEY.format(key=name))
    for name in given:
        if name not in needed:
            expected = ", ".join(needed)
            raise RequestError(f"Unknown join key: {show(name)}; expected {expected}")
    return {name: _key_value(name, dtype, given[name]) for name, dtype in needed.items()}


def _lookup(taken: ServiceFeatures, view: AppliedView, keys: Mapping[str, Any]) -> _Lookup | None:
    """What to read for a view of a service; None where a join key is null."""
    key = [keys[taken.service_key(field.name)] for field in view.key_fields]
    return None if None in key else _Lookup(view, encode_key(key))


def _key_value(name: str, dtype: DataType, value: Any) -> Any:
    if value is None:
        return None
    if dtype == Int64 and isinstance(value, str):
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) <= 19:
            value = int(value)
    try:
        return dtype.accept(value)
    except ValueMismatch as exc:
        raise RequestError(f"join key `{name}`: {exc}") from None


def _values(
    view: AppliedView, taken: ServiceFeatures, answer: _Answer, now: int
) -> Sequence[FeatureValue]:
    """A view's part of the vector: all of a row or, where it is missing or expired, nothing."""
    row: Mapping[str, Any] = {}
    timestamp = None
    if isinstance(answer, Aggregated):
        timestamp, row = answer.at, answer.values
    elif answer is not None and not _is_expired(view, answer.timestamp, now):
        timestamp = answer.timestamp
        names = (field.name for field in view.value_fields)
        row = dict(zip(names, decode_body(answer.body), strict=True))
    return [
        FeatureValue(f"{taken.namespace}.{field.name}", field.dtype, row.get(field.name), timestamp)
        for field in view.features
        if field.name in taken.features
    ]


def _is_expired(view: AppliedView, timestamp: int, now: int) -> bool:
    # A row from ahead of this clock is read at its own time: its age is 0 (contract §1, values).
    return view.ttl_micros is not None and now - timestamp > view.ttl_micros
