"""
What the feature store must answer, worked out once more by pandas alone.

An event is its aircraft and its time. Of several with the same two the one counts that was pushed
last, else the batch row with the greatest canonical body (docs/decisions/0004). An answer at a
time is the newest event up to it.
"""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from demo.data import FLIGHTS, Flights
from tecton.rows import encode_body

KEYS = ["tailnum", "timestamp"]
FEATURES = ["dep_delay", "distance", "origin"]
"""Of `flight_delay_service`, in the order in which they are served."""

_BODY = [field.name for field in FLIGHTS if field.name not in KEYS]


def events(flights: Flights, batch_until: datetime) -> pd.DataFrame:
    """
    The events that count, one row for each aircraft and time, in the order of their times.

    Args:
        flights: What was written and pushed.
        batch_until: The end of what the jobs have taken of the batch source, exclusive, UTC.
    """
    batch = flights.batch[flights.batch["timestamp"] < batch_until].dropna(subset=["tailnum"])
    batch = batch.assign(is_pushed=0, place=0)
    # Only where rows share an identity do their bodies matter.
    shared = batch.duplicated(KEYS, keep=False)
    batch.loc[shared, "place"] = batch[shared].apply(_body, axis=1).rank(method="first")
    pushed = flights.pushed.assign(is_pushed=1, place=range(len(flights.pushed)))
    ordered = pd.concat([batch, pushed]).sort_values([*KEYS, "is_pushed", "place"])
    counting = ordered.drop_duplicates(KEYS, keep="last").sort_values(["timestamp", "tailnum"])
    return counting[KEYS + FEATURES].astype({"distance": "Int64"}).reset_index(drop=True)


def newest(counting: pd.DataFrame) -> dict[str, list[object]]:
    """The online answer for each aircraft, as JSON spells it: integers are strings there."""
    last = counting.drop_duplicates("tailnum", keep="last").set_index("tailnum")[FEATURES]
    return {str(key): [_served(value) for value in row] for key, *row in last.itertuples()}


def as_of(counting: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """The features of each asked aircraft at the asked time, in the order of *asked*."""
    place = asked.reset_index(drop=True).rename_axis("place").reset_index()
    known = place.dropna(subset=["tailnum"]).sort_values("timestamp", kind="stable")
    joined = pd.merge_asof(known, counting, on="timestamp", by="tailnum")
    return joined.set_index("place").reindex(range(len(asked)))[FEATURES]


def _body(row: pd.Series) -> bytes:
    return encode_body([None if pd.isna(row[name]) else row[name] for name in _BODY])


def _served(value: object) -> object:
    if pd.isna(value):
        return None
    return value if isinstance(value, str) else str(value)
