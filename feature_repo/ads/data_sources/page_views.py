"""Pages that users read, as it happens; nothing of them is kept elsewhere."""

from tecton import PushConfig, StreamSource
from tecton.types import Array, Field, Int64, Map, String, Struct, Timestamp

page_view_source = StreamSource(
    name="page_view_source",
    schema=[
        Field(name="user_id", dtype=String),
        Field(name="timestamp", dtype=Timestamp),
        Field(name="page", dtype=Struct([Field("url", String), Field("title", String)])),
        Field(name="seconds_by_section", dtype=Map(String, Int64)),
        Field(name="tags", dtype=Array(String)),
    ],
    stream_config=PushConfig(),
    description="A Stream Source of page views; tags are the publisher's, and may be null.",
)
