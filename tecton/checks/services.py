"""
The rules of feature services.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tecton.checks.aggregations import check_aggregations
from tecton.checks.findings import Finding, Findings, expected, is_a, is_text_mapping
from tecton.checks.schemas import column_name, listed, row_columns_of
from tecton.checks.views import check_entities, value_types
from tecton.definitions import FeatureReference, FeatureService, StreamFeatureView
from tecton.names import OBJECT_NAME_RULE, is_object_name
from tecton.resolve import feature_names, join_keys_of, reference_to, sequence
from tecton.types import DataType, show


def check_service(service: FeatureService) -> Findings:
    """The rules of one feature service."""
    yield from is_a(service, "online_serving_enabled", bool, "True or False")
    features = sequence(service.features)
    if not features:
        yield expected("features", "a list of at least one view", service.features)
    references = []
    for feature in features:
        if isinstance(feature, (StreamFeatureView, FeatureReference)) and isinstance(
            reference_to(feature).view, StreamFeatureView
        ):
            references.append(reference_to(feature))
        else:
            yield expected("features", "a StreamFeatureView", feature)
    for reference in references:
        yield from _reference(reference)
    yield from _served(service, references)
    yield from _namespaces(references)
    yield from _service_keys(references)


def _served(service: FeatureService, references: Sequence[FeatureReference]) -> Findings:
    """What `get-features` shall answer is in the online store."""
    for view in dict.fromkeys(reference.view for reference in references):
        if service.online_serving_enabled and view.online is False:
            yield Finding(
                "features",
                f"{view.name} has online=False, so get-features of this service could never be "
                f"answered; set online=True on {view.name}, or online_serving_enabled=False on "
                "this service if it is for training alone",
            )


def _reference(reference: FeatureReference) -> Findings:
    if reference.namespace is not None and not is_object_name(reference.namespace):
        yield expected(
            "features", f"a name for with_name ({OBJECT_NAME_RULE})", reference.namespace
        )
    key_map = reference.join_key_map
    if key_map is not None and not is_text_mapping(key_map):
        yield expected("features", "a dict of names for with_join_key_map", key_map)
    elif _is_right(reference.view):
        yield from _selected(reference)
        yield from _key_map(reference, key_map or {})


def _selected(reference: FeatureReference) -> Findings:
    """The rules for `view[["f1", "f2"]]`."""
    view, selected = reference.view, reference.features
    if selected is None:
        return
    known = feature_names(view)
    unknown = [show(name) for name in selected if name not in known]
    if not selected:
        yield Finding("features", f"no feature of {view.name} is named; name one or leave [[]] out")
    if unknown:
        yield Finding(
            "features",
            f"{view.name} has no feature {', '.join(unknown)} (its features: {listed(known)}); "
            "correct the list",
        )
    elif len(set(selected)) < len(selected):
        yield Finding("features", f"a feature of {view.name} is named twice; name each once")


def _key_map(reference: FeatureReference, key_map: Mapping[str, str]) -> Findings:
    view = reference.view
    keys = join_keys_of(view)
    unknown = [key for key in key_map if key not in keys]
    if unknown:
        yield Finding(
            "features",
            f"with_join_key_map names {listed(unknown)}, which {view.name} has not (its join "
            f"keys: {listed(keys)}); correct it",
        )
    for name in key_map.values():
        yield from column_name("features", name)
    taken = [key_map.get(key, key) for key in keys]
    if len(set(taken)) < len(taken):
        yield Finding("features", f"two join keys of {view.name} are mapped to one; rename one")


def _namespaces(references: Sequence[FeatureReference]) -> Findings:
    """No two features of one name, online (`view.feature`) or offline (`view__feature`)."""
    namespaces: set[str] = set()
    columns: dict[str, str] = {}
    for reference in references:
        namespace = str(reference.namespace or reference.view.name)
        if namespace.casefold() in namespaces:
            yield Finding(
                "features",
                f"`{namespace}` is there twice, so its features have one name; tell them apart "
                "by with_name",
            )
            continue
        namespaces.add(namespace.casefold())
        for name in _feature_names(reference):
            column = f"{namespace}__{name}".casefold()
            other = columns.setdefault(column, namespace)
            if other != namespace:
                yield Finding(
                    "features",
                    f"a feature of `{other}` and one of `{namespace}` are both the column "
                    f"`{namespace}__{name}`; rename one by with_name",
                )


def _feature_names(reference: FeatureReference) -> Sequence[str]:
    if not _is_right(reference.view):
        return ()
    selected = reference.features
    return feature_names(reference.view) if selected is None else [str(name) for name in selected]


def _service_keys(references: Sequence[FeatureReference]) -> Findings:
    """A join key of one name has one type in all views of a service."""
    types: dict[str, DataType] = {}
    for reference in references:
        view, key_map = reference.view, reference.join_key_map or {}
        if not _is_right(view) or not is_text_mapping(key_map):
            continue
        columns = row_columns_of(view)
        for key in join_keys_of(view):
            name = key_map.get(key, key)
            dtype = types.setdefault(name, columns[key])
            if dtype != columns[key]:
                yield Finding(
                    "features",
                    f"the join key `{name}` is {dtype} in one view and {columns[key]} in "
                    f"{view.name}; rename one by with_join_key_map",
                )


def _is_right(view: StreamFeatureView) -> bool:
    """Can features and join keys of the view be trusted? What is wrong is reported there."""
    columns = row_columns_of(view)
    return (
        bool(columns)
        and not list(check_entities(view))
        and all(key in columns for key in join_keys_of(view))
        and not list(check_aggregations(view, value_types(view)))
    )
