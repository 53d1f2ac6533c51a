"""The newest departure of each aircraft."""

from datetime import datetime

from flights.data_sources import flights_source
from flights.entities import aircraft
from tecton import StreamFeatureView

last_departure = StreamFeatureView(
    name="last_departure",
    source=flights_source,
    entities=[aircraft],
    online=True,
    offline=True,
    feature_start_time=datetime(2022, 1, 1),  # noqa: DTZ001  # naive means UTC
    description="Delay, origin and distance of an aircraft's newest departure.",
)
