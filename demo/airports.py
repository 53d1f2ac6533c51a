"""
How late departures from each airport are: time windows, online and for training, against pandas.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import pandas as pd

import tecton
from demo import oracle
from demo.connection import FEATURES_PATH, Client
from demo.console import Console
from demo.data import SEED
from demo.flights import WORKSPACE

SERVICE = "airport_delay_service"
VIEW = "airport_delays"
EVENTS = 5_000


def check_online(departures: pd.DataFrame, client: Client, console: Console) -> None:
    """
    Read the aggregates of every airport and compare them.

    Args:
        departures: What the online store has been offered (`oracle.departures`).
        client: Of the service.
        console: For the verdict.
    """
    by_airport = oracle.by_airport(departures)
    wrong = total = 0
    for airport, delays in by_airport.items():
        at, answer = get_features(client, airport)
        expected = delays.windows(at)
        is_wrong = [not expected[name].is_met_by(value) for name, value in answer.items()]
        wrong += sum(is_wrong) + len(expected.keys() ^ answer.keys())
        total += len(expected)
    console.check("aggregates online equal pandas'", wrong=wrong, total=total)


def get_features(client: Client, airport: str) -> tuple[pd.Timestamp, dict[str, Any]]:
    """Where the windows of an airport end now, and what they hold."""
    options = {"include_names": True, "include_effective_times": True}
    params = {
        "workspace_name": WORKSPACE,
        "feature_service_name": SERVICE,
        "join_key_map": {"origin": airport},
        "metadata_options": options,
    }
    answer = client.post(FEATURES_PATH, {"params": params})
    told = answer["metadata"]["features"]
    names = [feature["name"].removeprefix(f"{VIEW}.") for feature in told]
    values = dict(zip(names, answer["result"]["features"], strict=True))
    [at] = {feature["effectiveTime"] for feature in told}
    return pd.Timestamp(at), {
        # The API spells Int64 as a string.
        name: int(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


def check_training(departures: pd.DataFrame, now: datetime, console: Console) -> None:
    """
    Make a training frame of 5,000 events and compare every aggregate.

    Args:
        departures: What is known (`oracle.departures`).
        now: The newest time that is asked for.
        console: For the verdict.
    """
    asked = training_events(departures, now)
    started = perf_counter()
    service = tecton.get_workspace(WORKSPACE).get_feature_service(SERVICE)
    frame = service.get_features_for_events(asked, timestamp_key="timestamp").to_pandas()
    console.say(f"{len(frame):,} training rows in {perf_counter() - started:.1f} s")
    by_airport = oracle.by_airport(departures)
    wrong = total = 0
    for row in frame.to_dict("records"):
        if row["origin"] in by_airport:
            expected = by_airport[row["origin"]].windows(row["timestamp"])
        else:
            expected = oracle.NOTHING
        for name, value in expected.items():
            got = row[f"{VIEW}__{name}"]
            wrong += not value.is_met_by(None if pd.isna(got) else got)
        total += len(expected)
    console.check("aggregates of the training frame equal pandas'", wrong=wrong, total=total)


def training_events(departures: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """
    What is asked: airports at the very time of a departure, a microsecond before one, exactly a
    window after one, at any time, and an airport that nobody knows.
    """
    chosen = departures[["origin", "timestamp"]].sample(EVENTS, random_state=SEED)
    chance = random.Random(SEED)
    moves = [
        lambda: timedelta(0),
        lambda: -timedelta(microseconds=1),
        lambda: chance.choice([*oracle.WINDOWS.values()]),
        lambda: timedelta(days=chance.random() * 90),
    ]
    moved = [chance.choice(moves)() for _ in range(EVENTS)]
    times = (chosen["timestamp"] + pd.Series(moved, index=chosen.index)).clip(upper=now)
    asked = chosen.assign(timestamp=times.astype("datetime64[us, UTC]"))
    asked.loc[asked.sample(50, random_state=SEED).index, "origin"] = "???"
    return asked
