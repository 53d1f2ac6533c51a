"""What the delay models read."""

from flights.features import airport_delays, last_departure
from tecton import FeatureService

flight_delay_service = FeatureService(
    name="flight_delay_service",
    description="How an aircraft's last departure went.",
    features=[last_departure[["dep_delay", "origin", "distance"]]],
)

airport_delay_service = FeatureService(
    name="airport_delay_service",
    description="How late departures from an airport have been.",
    features=[airport_delays],
)
