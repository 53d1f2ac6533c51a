"""Flights, each at the time of its scheduled departure."""

from tecton import FileConfig, PushConfig, StreamSource
from tecton.types import Field, Int64, String, Timestamp

# An airport has several departures in one minute. Without event_key they would be one event.
flights_source = StreamSource(
    name="flights_source",
    schema=[
        Field("tailnum", String),
        Field("timestamp", Timestamp),
        Field("carrier", String),
        Field("flight", Int64),
        Field("origin", String),
        Field("dest", String),
        Field("dep_delay", Int64),
        Field("distance", Int64),
    ],
    stream_config=PushConfig(event_key=("carrier", "flight")),
    batch_config=FileConfig(
        uri="data/flights.parquet", file_format="parquet", timestamp_field="timestamp"
    ),
    description="Departures; dep_delay is in minutes, negative if early, null if cancelled.",
)
