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
from tecton.errors import NotFound, RequestError
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
        lookups = _lookups(state, found, join_keys)
        values: list[FeatureValue] = []
        for taken, answer in zip(found.views, self._answers(lookups, at), strict=True):
            values += _values(state.view_by_name[taken.view], taken, answer, at)
        return values

    def _answers(self, lookups: Sequence[_Lookup | None], at: int) -> Iterator[_Answer]:
        """What the online store has for each lookup; None too where a join key is null."""
        wanted = [lookup for lookup in lookups if lookup is not None]
        plain = [(view.id, key) for view, key in wanted if not view.aggregations]
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


def _lookups(
    state: WorkspaceState, service: AppliedService, given: Mapping[str, Any]
) -> list[_Lookup | None]:
    """What to read for each view of a service; None where a join key is null."""
    needed = input_join_keys(state, service)
    for name in needed:
        if name not in given:
            raise RequestError(MISSING_KEY.format(key=name))
    for name in given:
        if name not in needed:
            expected = ", ".join(needed)
            raise RequestError(f"Unknown join key: {show(name)}; expected {expected}")
    values = {name: _key_value(name, dtype, given[name]) for name, dtype in needed.items()}
    lookups: list[_Lookup | None] = []
    for taken in service.views:
        view = state.view_by_name[taken.view]
        key = [values[taken.service_key(field.name)] for field in view.key_fields]
        lookups.append(None if None in key else _Lookup(view, encode_key(key)))
    return lookups


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
