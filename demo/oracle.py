"""
What the feature store must answer, worked out once more by pandas alone.

Of an aircraft's flights of one time the one counts that was pushed last, else the batch row with
the greatest canonical body (docs/decisions/0004): an answer at a time is the newest up to it. An
airport's aggregates are of all its departures in a window.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd

from demo.data import FLIGHTS, Flights
from tecton.rows import encode_body

KEYS = ["tailnum", "timestamp"]
FEATURES = ["dep_delay", "distance", "origin"]
"""Of `flight_delay_service`, in the order in which they are served."""

WINDOWS = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
"""Of `airport_delays`, as feature names spell them."""

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


def departures(flights: Flights, batch_until: datetime) -> pd.DataFrame:
    """
    Every departure with airport, time and delay, in the order of their times.

    No two share airport, time, carrier and flight number (`data.load_flights`), so each counts.

    Args:
        flights: What was written and pushed.
        batch_until: The end of what the jobs have taken of the batch source, exclusive, UTC.
    """
    batch = flights.batch[flights.batch["timestamp"] < batch_until]
    columns = ["origin", "timestamp", "dep_delay"]
    return pd.concat([batch, flights.pushed]).sort_values("timestamp")[columns]


class Expected(NamedTuple):
    """What an aggregate must be; a mean may differ by a billionth of what is summed up."""

    value: float | None
    allowed: float = 0.0

    def is_met_by(self, got: float | None) -> bool:
        """Is *got* that value?"""
        if got is None or self.value is None:
            return got is self.value
        return abs(got - self.value) <= self.allowed


NOTHING = {
    f"dep_delay_{function}_{window}_continuous": Expected(None)
    for window in WINDOWS
    for function in ("count", "max", "mean")
}
"""The aggregates of windows without departures."""


class Delays:
    """The departures of one airport.

    Args:
        rows: Of `departures`.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self._times = rows["timestamp"].reset_index(drop=True)
        self._delays = rows["dep_delay"].reset_index(drop=True)

    def windows(self, at: pd.Timestamp) -> dict[str, Expected]:
        """The aggregates of `airport_delays` at *at*: of all with at − window < time ≤ at."""
        found = dict(NOTHING)
        end = self._times.searchsorted(at, side="right")
        for window, length in WINDOWS.items():
            start = self._times.searchsorted(at - length, side="right")
            if start == end:
                continue
            present = self._delays.iloc[start:end].dropna().astype("int64")
            found[f"dep_delay_count_{window}_continuous"] = Expected(len(present))
            if not present.empty:
                mean = Expected(present.mean(), present.abs().mean() / 1e9)
                found[f"dep_delay_mean_{window}_continuous"] = mean
                found[f"dep_delay_max_{window}_continuous"] = Expected(present.max())
        return found


def by_airport(known: pd.DataFrame) -> dict[str, Delays]:
    """The departures of each airport."""
    return {str(origin): Delays(rows) for origin, rows in known.groupby("origin")}
