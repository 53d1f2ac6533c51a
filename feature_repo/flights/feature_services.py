"""What the delay model reads."""

from flights.features import last_departure
from tecton import FeatureService

flight_delay_service = FeatureService(
    name="flight_delay_service",
    description="How an aircraft's last departure went.",
    features=[last_departure[["dep_delay", "origin", "distance"]]],
)
