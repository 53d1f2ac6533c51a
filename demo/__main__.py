"""
`python -m demo`: define → apply → ingest → serve → materialise → train, on real data.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta, timezone

from demo import airports, data, documentation, flights, oracle
from demo.connection import Client
from demo.console import Console
from demo.stage import Stage, fresh_stage

DAY = timedelta(days=1)
"""The `batch_schedule` of all views."""

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def main() -> int:
    """Play the whole demo; returns 1 if any answer was wrong."""
    console = Console()
    with fresh_stage(console) as stage:
        play(stage, console)
    console.say("\nnothing is left running; the store is gone")
    if console.wrong:
        console.say(f"{console.wrong:,} answers were WRONG")
        return 1
    console.say("every answer was right")
    return 0


def play(stage: Stage, console: Console) -> None:
    """All steps, each telling what it does and what came back."""
    console.step("Write the history of both feature packages")
    year = data.write(now(), stage.repo)
    console.say(
        f"{len(year.batch):,} flights of a year are in data/flights.parquet, of which "
        f"{year.nobodys:,} have no tail number; {len(year.pushed)} of the last day are for later"
    )

    console.step("Define and apply: Spark fills the offline tables and Redis")
    stage.tecton("workspace", "create", flights.WORKSPACE, "--live")
    before = last_midnight(now())
    stage.tecton("apply", "-y", "-w", flights.WORKSPACE)
    midnight = last_midnight(now())
    if midnight != before:
        # A day has ended meanwhile, before or after the backfill asked for the time.
        stage.tecton("materialize", "run-due", "-w", flights.WORKSPACE)

    console.step("Make a service account that may write")
    api_key = make_account(stage)

    console.step("Start the service and send the documentation's requests")
    with stage.service() as url:
        documentation.send_and_read(url, api_key, now(), console)

        console.step("Push the last day's flights, then read all airports and 1,000 aircraft")
        with Client(url, api_key) as client:
            flights.push(year, client, console)
            # Today's batch rows belong to a period that has not ended: no job has read them yet.
            airports.check_online(oracle.departures(year, midnight), client, console)
            flights.check_online(oracle.events(year, midnight), client, console)

        console.step("Materialise what is due, as of tomorrow, and read again")
        tomorrow = midnight + DAY
        stage.tecton(
            *("materialize", "run-due", "-w", flights.WORKSPACE),
            *("--at", f"{tomorrow:%Y-%m-%dT%H:%M:%SZ}"),
        )
        everything = oracle.events(year, tomorrow)
        departures = oracle.departures(year, tomorrow)
        with Client(url, api_key) as client:
            airports.check_online(departures, client, console)
            flights.check_online(everything, client, console)

        console.step("Make training frames")
        # Spark starts in this process, and says so at length.
        with stage.quiet("spark.log"):
            flights.check_training(everything, now(), console)
            airports.check_training(departures, now(), console)


def make_account(stage: Stage) -> str:
    """Create a service account with the role editor; returns its key."""
    printed = stage.tecton(
        "service-account",
        "create",
        *("--name", "stream-ingest-service-account"),
        *("--description", "A Stream Ingest API sample"),
    )
    labels = ("API Key", "Service Account ID")
    key, account = (re.search(rf"{label}: (\S+)$", printed, re.M) for label in labels)
    if key is None or account is None:
        raise SystemExit("`tecton service-account create` printed no key")
    stage.tecton(
        *("access-control", "assign-role", "--role", "editor"),
        *("--workspace", flights.WORKSPACE, "--service-account", account.group(1)),
    )
    return key.group(1)


def last_midnight(at: datetime) -> datetime:
    """Where the period that *at* is in begins: the last multiple of the schedule since 1970."""
    return at - (at - EPOCH) % DAY


def now() -> datetime:
    """The clock; the demo is an entry point."""
    return datetime.now(timezone.utc)


if __name__ == "__main__":
    sys.exit(main())
