"""Clicks on ads, as they happen; nothing of them is kept elsewhere."""

from tecton import PushConfig, StreamSource
from tecton.types import Field, Int64, String, Timestamp

click_event_source = StreamSource(
    name="click_event_source",
    schema=[
        Field(name="user_id", dtype=String),
        Field(name="timestamp", dtype=Timestamp),
        Field(name="ad_id", dtype=String),
        Field(name="clicked", dtype=Int64),
    ],
    # A user can be shown two ads in one moment.
    stream_config=PushConfig(event_key=("ad_id",)),
    description="A Stream Source of clicks; clicked is 1, or 0 for an ad that was only shown.",
)
