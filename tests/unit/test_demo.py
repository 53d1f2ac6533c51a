"""
What the demo compares with: the flights it writes, and pandas' answers.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest

from demo import airports, data, flights, oracle
from demo.console import Console

NOW = datetime(2026, 3, 4, 15, 30, 12, tzinfo=timezone.utc)
NOON = pd.Timestamp("2026-03-04T12:00:00Z")
TOMORROW = NOW + timedelta(days=1)


@pytest.fixture(scope="module")
def year() -> data.Flights:
    """The flights as the demo writes them at `NOW`."""
    return data.load_flights(NOW)


def flight(at: pd.Timestamp, delay: int | None, tailnum: str | None = "N1") -> dict[str, object]:
    """A row of the flights."""
    values = ("AA", 1, "JFK", "LAX", delay, 2475)
    return dict(zip([field.name for field in data.FLIGHTS], (tailnum, at, *values), strict=True))


def small(batch: list[dict[str, object]], pushed: list[dict[str, object]]) -> data.Flights:
    """A year of few flights."""
    columns = [field.name for field in data.FLIGHTS]
    frames = (pd.DataFrame(rows, columns=columns) for rows in (batch, pushed))
    types = {"timestamp": "datetime64[us, UTC]", "dep_delay": "Int64"}
    return data.Flights(*(frame.astype(types) for frame in frames))


def test_every_flight_is_in_the_batch_file_or_pushed(year: data.Flights) -> None:
    """Of 336,776 flights the last day's 765 with a tail number are pushed."""
    assert (336_011, 765, 2_512) == (len(year.batch), len(year.pushed), year.nobodys)


def test_the_last_flight_was_a_minute_ago(year: data.Flights) -> None:
    """The year is shifted as a whole, so that nothing is too old and nothing in the future."""
    assert year.pushed["timestamp"].iloc[-1] == pd.Timestamp("2026-03-04T15:29:00Z")
    assert year.pushed["timestamp"].is_monotonic_increasing
    assert year.batch["timestamp"].max() < year.pushed["timestamp"].max()


def test_departures_are_new_yorks_times_as_utc(year: data.Flights) -> None:
    """The package's own UTC hours agree: the first flight left at 5:15 in New York, 10:15 UTC."""
    first, last = year.batch["timestamp"].min(), year.pushed["timestamp"].max()
    at_home = pd.Timestamp("2014-01-01T04:59:00Z") - pd.Timestamp("2013-01-01T10:15:00Z")
    assert at_home == last - first


def test_impressions_are_younger_than_ten_days() -> None:
    """Some are within the view's ttl of seven days, some are not."""
    ages = NOW - data.make_impressions(NOW)["timestamp"]
    assert ages.min() > timedelta(0)
    assert timedelta(days=7) < ages.max() < timedelta(days=10)


def test_the_flight_pushed_last_counts() -> None:
    """A push replaces a batch row of its identity, and the later push the earlier."""
    events = small([flight(NOON, 99)], [flight(NOON, 50), flight(NOON, 3)])
    assert {"N1": ["3", "2475", "JFK"]} == oracle.newest(oracle.events(events, TOMORROW))


def test_of_batch_rows_the_greatest_body_counts() -> None:
    """Bodies are compared as bytes: 9 is greater than 10, and null than any number."""
    events = small([flight(NOON, 10), flight(NOON, 9)], [])
    assert {"N1": ["9", "2475", "JFK"]} == oracle.newest(oracle.events(events, TOMORROW))
    events = small([flight(NOON, None), flight(NOON, 9)], [])
    assert {"N1": [None, "2475", "JFK"]} == oracle.newest(oracle.events(events, TOMORROW))


def test_batch_rows_count_up_to_the_end_of_their_period() -> None:
    """What no job has read is not known yet."""
    events = small([flight(NOON, 1), flight(NOON + timedelta(hours=1), 2)], [])
    known = oracle.events(events, (NOON + timedelta(hours=1)).to_pydatetime())
    assert {"N1": ["1", "2475", "JFK"]} == oracle.newest(known)


def test_nobodys_flights_do_not_count() -> None:
    """Rows without a tail number belong to no aircraft."""
    assert oracle.events(small([flight(NOON, 1, tailnum=None)], []), TOMORROW).empty


def test_a_training_row_knows_the_events_up_to_its_time() -> None:
    """The event's own time included, a microsecond before it not."""
    known = oracle.events(small([flight(NOON, 1)], []), TOMORROW)
    times = [NOON, NOON - timedelta(microseconds=1)]
    asked = pd.DataFrame({"tailnum": "N1", "timestamp": times}).astype(
        {"timestamp": "datetime64[us, UTC]"}
    )
    assert [1, pd.NA] == oracle.as_of(known, asked)["dep_delay"].tolist()


def test_a_record_is_json() -> None:
    """Times with an offset, null for what is not known."""
    rows = small([flight(NOON, None)], []).batch.to_dict("records")
    record = flights.record(rows[0])
    assert ("2026-03-04T12:00:00+00:00", None) == (record["timestamp"], record["dep_delay"])


def test_1000_aircraft_are_read_the_latest_among_them(year: data.Flights) -> None:
    """Whatever was pushed or materialised last is looked at."""
    counting = oracle.events(year, TOMORROW)
    asked = flights.aircraft_to_read(counting)
    assert 1_000 == len(set(asked))
    assert set(year.pushed["tailnum"].tail(200)) <= set(asked)


def test_a_wrong_answer_is_shown_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """One is enough for the demo to fail."""
    console = Console()
    console.check("all is well")
    console.check("sums add up", wrong=2, total=5)
    assert 2 == console.wrong
    assert "WRONG sums add up: 3 of 5 right" in capsys.readouterr().out


def test_training_events_are_10000_and_none_is_in_the_future(year: data.Flights) -> None:
    """Known and unknown aircraft, at times up to now."""
    asked = flights.training_events(oracle.events(year, TOMORROW), NOW)
    assert (10_000, True) == (len(asked), bool((asked["timestamp"] <= NOW).all()))
    assert (100, 50) == ((asked["tailnum"] == "NOBODY").sum(), asked["tailnum"].isna().sum())


def test_windows_are_of_all_departures_of_an_airport() -> None:
    """(t − window, t]; a delay that is not known is no delay, nobody's flights count too."""
    rows = [
        flight(NOON - timedelta(hours=1), 100),
        flight(NOON - timedelta(minutes=59), 1, tailnum=None),
        flight(NOON, None),
        flight(NOON + timedelta(hours=2), 50),
    ]
    known = oracle.departures(small(rows[:3], rows[3:]), TOMORROW)
    windows = oracle.by_airport(known)["JFK"].windows(NOON)
    shown = {name: value.value for name, value in windows.items() if "_7d_" not in name}
    assert {
        "dep_delay_count_1h_continuous": 1,
        "dep_delay_max_1h_continuous": 1,
        "dep_delay_mean_1h_continuous": 1.0,
        "dep_delay_count_1d_continuous": 2,
        "dep_delay_max_1d_continuous": 100,
        "dep_delay_mean_1d_continuous": 50.5,
    } == shown


def test_windows_without_departures_are_null_and_without_delays_0() -> None:
    """The rule for counts (contract §1, values)."""
    known = oracle.departures(small([flight(NOON, None)], []), TOMORROW)
    windows = oracle.by_airport(known)["JFK"].windows(NOON + timedelta(hours=1))
    counts = [windows[f"dep_delay_count_{window}_continuous"].value for window in ("1h", "1d")]
    assert [None, 0] == counts
    assert windows["dep_delay_max_1d_continuous"].is_met_by(None)
    assert not windows["dep_delay_max_1d_continuous"].is_met_by(0)


def test_airports_have_several_departures_a_minute(year: data.Flights) -> None:
    """What the event key is for, and that it tells them all apart."""
    known = pd.concat([year.batch, year.pushed])
    assert known.duplicated(["origin", "timestamp"]).sum() > 100_000
    assert not known.duplicated(["origin", "timestamp", "carrier", "flight"]).any()


def test_airports_are_asked_for_at_edges(year: data.Flights) -> None:
    """None in the future, some exactly a window after a departure, one airport unknown."""
    departures = oracle.departures(year, TOMORROW)
    asked = airports.training_events(departures, NOW)
    assert (5_000, True) == (len(asked), bool((asked["timestamp"] <= NOW).all()))
    assert {"EWR", "JFK", "LGA", "???"} == set(asked["origin"])
