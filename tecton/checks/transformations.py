"""
The rules of a view's transformation: its mode, what it returns, and what it is made of.
"""

from __future__ import annotations

from pathlib import Path

from tecton.checks.findings import Finding, Findings, expected
from tecton.checks.schemas import check_fields
from tecton.definitions import PushConfig, StreamFeatureView, StreamSource
from tecton.functions.capture import capture
from tecton.functions.refusals import CannotCapture
from tecton.functions.transformation import TURNED_OFF
from tecton.names import EVENT_COLUMN
from tecton.resolve import sequence
from tecton.types import show

MODES = ("python", "pandas")


def check_transformation(view: StreamFeatureView, root: Path, are_functions_on: bool) -> Findings:
    """
    The rules of a view's function, if it has one.

    Args:
        view: The view.
        root: The feature repo.
        are_functions_on: May functions be planned and run?
    """
    if view.transformation is None:
        yield from _without_function(view)
        return
    if not are_functions_on:
        yield Finding("transformation", f"{TURNED_OFF}; set it to on, or leave the function out")
        return
    if view.mode not in MODES:
        yield Finding(
            "mode",
            f'expected "python" (a dict in) or "pandas" (a frame in), saw {show(view.mode)}; other '
            "modes need Spark, for which a pushed record cannot wait",
        )
    if not sequence(view.schema):
        yield expected("schema", "a list of Field: what the function returns", view.schema)
    yield from check_fields(sequence(view.schema), "schema")
    yield from _event_columns(view)
    try:
        capture(view.transformation, root)
    except CannotCapture as exc:
        yield Finding("transformation", str(exc))


def _without_function(view: StreamFeatureView) -> Findings:
    for argument in ("mode", "schema"):
        if getattr(view, argument) is not None:
            yield Finding(
                argument,
                "is that of a function, and there is none; decorate one with "
                "@stream_feature_view, or leave it out",
            )


def _event_columns(view: StreamFeatureView) -> Findings:
    """The columns that keep the records' event key have names of their own."""
    source = view.source
    if not isinstance(source, StreamSource) or not isinstance(source.stream_config, PushConfig):
        return
    names = {getattr(field, "name", None) for field in sequence(view.schema)}
    for key in source.stream_config.event_key_names:
        name = EVENT_COLUMN.format(name=key)
        if name in names:
            yield Finding(
                f"schema.{name}", f"keeps the event_key `{key}` of the source; rename the column"
            )
