"""The newest departure of each aircraft, and how punctual each airport is."""

from datetime import datetime, timedelta

from flights.data_sources import flights_source
from flights.entities import aircraft, airport
from tecton import Aggregation, StreamFeatureView

last_departure = StreamFeatureView(
    name="last_departure",
    source=flights_source,
    entities=[aircraft],
    online=True,
    offline=True,
    feature_start_time=datetime(2022, 1, 1),  # noqa: DTZ001  # naive means UTC
    description="Delay, origin and distance of an aircraft's newest departure.",
)

airport_delays = StreamFeatureView(
    name="airport_delays",
    source=flights_source,
    entities=[airport],
    online=True,
    offline=True,
    feature_start_time=datetime(2022, 1, 1),  # noqa: DTZ001  # naive means UTC
    aggregations=[
        Aggregation(column="dep_delay", function=function, time_window=window)
        for window in (timedelta(hours=1), timedelta(days=1), timedelta(days=7))
        for function in ("count", "mean", "max")
    ],
    description="Number, mean and worst of the delays at an airport; cancelled flights have none.",
)
