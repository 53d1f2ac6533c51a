"""
The rules of stream sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tecton.checks.batch_configs import check_batch_config
from tecton.checks.findings import Finding, Findings, expected, is_a
from tecton.checks.schemas import SCALARS, check_schema, columns_of, listed
from tecton.definitions import FileConfig, PushConfig, StreamSource
from tecton.types import show


def check_source(
    source: StreamSource, root: Path, batch_roots: Sequence[str], are_functions_on: bool = True
) -> Findings:
    """
    The rules of one stream source.

    Args:
        source: The source.
        root: Where relative paths start.
        batch_roots: Where batch data must be; none: anywhere.
        are_functions_on: May functions be planned and run?
    """
    yield from check_schema(source)
    if isinstance(source.stream_config, PushConfig):
        yield from _push_config(source, source.stream_config)
    else:
        yield Finding(
            "stream_config",
            f"expected PushConfig(), saw {show(source.stream_config)}; other streams cannot be "
            "read yet, push their records",
        )
    if isinstance(source.batch_config, FileConfig):
        config = source.batch_config
        yield from check_batch_config(source, config, root, batch_roots, are_functions_on)
    elif source.batch_config is not None:
        yield expected("batch_config", "a FileConfig or None", source.batch_config)


def _push_config(source: StreamSource, config: PushConfig) -> Findings:
    yield from is_a(config, "log_offline", bool, "True or False", within="stream_config.")
    place = "stream_config.event_key"
    if not is_event_key(config):
        yield expected(place, "a column name or a list of some", config.event_key)
        return
    names = config.event_key_names
    columns = columns_of(source)
    for name in names:
        if names.count(name) > 1:
            yield Finding(place, f"`{name}` is there twice; name it once")
        if columns and name not in columns:
            known = listed(columns)
            yield Finding(place, f"`{name}` is not in the schema ({known}); add or correct it")
        elif columns and columns[name] not in SCALARS:
            yield Finding(
                place,
                f"`{name}` is {columns[name]}; only Bool, Int64, Float64, String and Timestamp "
                "tell events apart, choose another column",
            )


def is_event_key(config: PushConfig) -> bool:
    """Is the event key one name or a list of names?"""
    key = config.event_key
    return isinstance(key, str) or (
        isinstance(key, (list, tuple)) and all(isinstance(name, str) for name in key)
    )
