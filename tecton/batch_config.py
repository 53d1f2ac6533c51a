"""
A `FileConfig` → what is applied of it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tecton.applied import AppliedFunction, BatchRows, PartitionColumn
from tecton.definitions import FileConfig
from tecton.functions.capture import Captured

PYSPARK = "pyspark"
"""The mode of a post-processor."""


def batch_rows(
    config: FileConfig, timestamp_field: str, processor: Captured | None, root: Path
) -> BatchRows:
    """
    Spell out a batch config that has been found right.

    Args:
        config: The config.
        timestamp_field: The event timestamp's column.
        processor: Its post-processor as text.
        root: Where relative paths start.
    """
    function = None
    if processor is not None:
        function = AppliedFunction(name=processor.name, mode=PYSPARK, source=processor.source)
    return BatchRows(
        uri=absolute_uri(config.uri, root),
        file_format=config.file_format,
        timestamp_field=timestamp_field,
        timestamp_format=config.timestamp_format,
        post_processor=function,
        schema_uri=None if config.schema_uri is None else absolute_uri(config.schema_uri, root),
        schema_override=schema_json(config.schema_override),
        partitions=tuple(
            PartitionColumn(one.column_name, one.datepart, one.format_string)
            for one in config.datetime_partition_columns or ()
        ),
        data_delay=config.data_delay,
    )


def absolute_uri(uri: str, root: Path) -> str:
    """Where a batch file is; a relative path starts at the feature repo's root."""
    # What looks like a URI is none of our files, whatever becomes of it then.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri):
        return uri
    return str(root / uri)


def schema_json(schema: Any) -> str | None:
    """
    A `pyspark.sql.types.StructType` as the JSON that Spark spells it in; None for anything else.

    No Spark is imported to see what it is: it says so itself.
    """
    try:
        described = schema.jsonValue()
    except (AttributeError, TypeError):
        return None
    if not isinstance(described, dict) or described.get("type") != "struct":
        return None
    return json.dumps(described, separators=(",", ":"), sort_keys=True)
