"""
A batch source's post-processor: a function of the feature repo on the frame that was read.
"""

from __future__ import annotations

import sys

from pyspark import cloudpickle
from pyspark.sql import DataFrame

from tecton.applied import AppliedFunction
from tecton.errors import SourceError
from tecton.functions.loading import CannotLoad, file_of, load, what_failed, where_failed
from tecton.functions.transformation import OFF, TURNED_OFF


def processed(frame: DataFrame, function: AppliedFunction) -> DataFrame:
    """
    What a post-processor makes of a frame; runs where the job's driver does.

    Args:
        frame: As it was read.
        function: The post-processor.

    Raises:
        SourceError: It may not run here, does not load, raises something or returns no frame.
    """
    name = function.name
    if function.mode == OFF:
        raise SourceError(f"its post_processor does not run here: {TURNED_OFF}")
    try:
        call = load(name, function.source)
    except CannotLoad as exc:
        raise SourceError(f"its post_processor {name} does not load here: {exc}") from exc
    # What it makes user-defined functions of is on no path of the executors: it goes there whole.
    cloudpickle.register_pickle_by_value(  # type: ignore[no-untyped-call]  # it has no types
        sys.modules[file_of(function.source)]
    )
    try:
        result = call(frame)
    except BaseException as exc:  # users' code may raise anything
        if isinstance(exc, KeyboardInterrupt):
            raise
        where = where_failed(exc, function.source)
        told = f"{what_failed(exc)} in {where}" if where else what_failed(exc)
        raise SourceError(f"its post_processor {name} failed: {told}") from exc
    if not isinstance(result, DataFrame):
        kind = type(result).__name__
        raise SourceError(f"its post_processor {name} returned a {kind}, not a Spark DataFrame")
    return result
