"""
A day of flights through the service, and what can be read of them online and for training.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Any

import pandas as pd

import tecton
from demo import oracle
from demo.connection import FEATURES_PATH, Client
from demo.console import Console
from demo.data import SEED, Flights

WORKSPACE = "ingestapi-live"
SOURCE = "flights_source"
SERVICE = "flight_delay_service"
VIEWS = ("airport_delays", "last_departure")
COLUMNS = {name: f"last_departure__{name}" for name in oracle.FEATURES}
HEADS = ", ".join(oracle.FEATURES)
RECORDS_PER_REQUEST = 100
AIRCRAFT = 1_000
LATEST = 300
EVENTS = 10_000
SHOWN = 5


def push(flights: Flights, client: Client, console: Console) -> None:
    """Send the last day's flights in requests of 100; both views take each."""
    records = [{"record": record(row)} for row in flights.pushed.to_dict("records")]
    requests = [
        records[start : start + RECORDS_PER_REQUEST]
        for start in range(0, len(records), RECORDS_PER_REQUEST)
    ]
    taken: Counter[str] = Counter()
    started = perf_counter()
    for part in console.progress(requests, "requests sent"):
        body = {"workspace_name": WORKSPACE, "dry_run": False, "records": {SOURCE: part}}
        metrics = client.post("/ingest", body)["ingestMetrics"]["featureViewIngestMetrics"]
        for metric in metrics:
            taken[metric["featureViewName"]] += int(metric["onlineRecordIngestCount"])
    seconds = perf_counter() - started
    console.say(f"{len(records)} flights in {seconds:.2f} s, {len(records) / seconds:,.0f}/s")
    missing = sum(len(records) - taken[view] for view in VIEWS)
    console.check("flights taken by both views", wrong=missing, total=len(records) * len(VIEWS))


def record(row: Mapping[str, Any]) -> dict[str, Any]:
    """A flight as JSON."""
    values = {name: None if pd.isna(value) else value for name, value in row.items()}
    return {**values, "timestamp": row["timestamp"].isoformat()}


def check_online(counting: pd.DataFrame, client: Client, console: Console) -> None:
    """
    Read the features of 1,000 aircraft, one by one on one connection, and compare them.

    Args:
        counting: The events that the online store has been offered (`oracle.events`).
        client: Of the service.
        console: For the verdict.
    """
    expected = oracle.newest(counting)
    asked = aircraft_to_read(counting)
    answers: dict[str, Any] = {}
    seconds = []
    for tailnum in console.progress(asked, "aircraft read"):
        started = perf_counter()
        answers[tailnum] = get_features(client, tailnum)
        seconds.append(perf_counter() - started)
    console.say(f"half of the reads took less than {median(seconds) * 1000:.1f} ms")
    wrong = [tailnum for tailnum in asked if answers[tailnum] != expected[tailnum]]
    console.check("online answers equal pandas'", wrong=len(wrong), total=len(asked))
    shown = (wrong + asked)[:SHOWN]
    rows = [(tailnum, told(answers[tailnum]), told(expected[tailnum])) for tailnum in shown]
    console.table(["aircraft", f"get-features ({HEADS})", "pandas"], rows)


def aircraft_to_read(counting: pd.DataFrame) -> list[str]:
    """The 300 that flew last, whose rows the newest requests and jobs wrote, and 700 others."""
    by_age: list[str] = counting["tailnum"].drop_duplicates(keep="last").tolist()[::-1]
    others = random.Random(SEED).sample(sorted(by_age[LATEST:]), AIRCRAFT - LATEST)
    return by_age[:LATEST] + others


def get_features(client: Client, tailnum: str) -> Sequence[Any]:
    """The online features of one aircraft."""
    params = {
        "workspace_name": WORKSPACE,
        "feature_service_name": SERVICE,
        "join_key_map": {"tailnum": tailnum},
    }
    answer = client.post(FEATURES_PATH, {"params": params})
    features: Sequence[Any] = answer["result"]["features"]
    return features


def check_training(counting: pd.DataFrame, now: datetime, console: Console) -> None:
    """
    Make a training frame of 10,000 events and compare every row.

    Args:
        counting: The events that are known (`oracle.events`).
        now: The newest time that is asked for.
        console: For the verdict.
    """
    asked = training_events(counting, now)
    started = perf_counter()
    service = tecton.get_workspace(WORKSPACE).get_feature_service(SERVICE)
    frame = service.get_features_for_events(asked, timestamp_key="timestamp").to_pandas()
    console.say(f"{len(frame):,} training rows in {perf_counter() - started:.1f} s")
    expected = asked.assign(
        **oracle.as_of(counting, asked).rename(columns=COLUMNS).set_axis(asked.index)
    )
    console.check("the events come back as they were", wrong=not frame[list(asked)].equals(asked))
    is_wrong = pd.Series(False, index=asked.index)
    for column in COLUMNS.values():
        is_wrong |= ~same(frame[column], expected[column])
    console.check("training rows equal pandas'", wrong=int(is_wrong.sum()), total=len(asked))
    shown = [*asked.index[is_wrong], *asked.index][:SHOWN]
    names = list(COLUMNS.values())
    rows = [
        (
            asked.loc[place, "tailnum"],
            f"{asked.loc[place, 'timestamp']:%Y-%m-%d %H:%M}",
            told(frame.loc[place, names]),
            told(expected.loc[place, names]),
        )
        for place in shown
    ]
    console.table(["aircraft", "at", f"training frame ({HEADS})", "pandas"], rows)


def training_events(counting: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """
    What is asked: aircraft at any time of the year, at the very time of a flight, a microsecond
    before one, before their first, and aircraft and nulls that nobody knows.
    """
    flown = counting[["tailnum", "timestamp"]].sample(EVENTS, random_state=SEED)
    chance = random.Random(SEED)
    moves = [
        lambda: timedelta(0),
        lambda: -timedelta(microseconds=1),
        lambda: timedelta(days=chance.random() * 90),
    ]
    moved = [chance.choice(moves)() for _ in range(EVENTS)]
    times = (flown["timestamp"] + pd.Series(moved, index=flown.index)).clip(upper=now)
    asked = flown.assign(timestamp=times.astype("datetime64[us, UTC]"), label=range(EVENTS))
    places = asked.sample(200, random_state=SEED).index
    asked.loc[places[:100], "tailnum"] = "NOBODY"
    asked.loc[places[100:150], "tailnum"] = None
    asked.loc[places[150:], "timestamp"] = counting["timestamp"].min() - timedelta(days=1)
    return asked


def same(left: pd.Series, right: pd.Series) -> pd.Series:
    """Where two columns agree; null agrees with null."""
    both_null = left.isna() & right.isna()
    return both_null | (left == right).fillna(False)


def told(values: Iterable[object]) -> str:
    """Feature values as a table shows them."""
    return ", ".join("null" if pd.isna(value) else str(value) for value in values)
