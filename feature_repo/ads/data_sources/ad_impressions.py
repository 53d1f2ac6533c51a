"""Ads shown to users, as they happen, and their history."""

from tecton import PushConfig, FileConfig, StreamSource
from tecton.types import String, Int64, Timestamp, Field

input_schema = [
    Field(name="user_id", dtype=String),
    Field(name="timestamp", dtype=Timestamp),
    Field(name="clicked", dtype=Int64),
]

batch_config = FileConfig(
    uri="data/ad_impressions.parquet", timestamp_field="timestamp", file_format="parquet"
)

impressions_event_source = StreamSource(
    name="impressions_event_source",
    schema=input_schema,
    stream_config=PushConfig(),
    batch_config=batch_config,
    description="A Stream Source for synchronous, online ingestion of ad-click events with user info.",
)
