"""What the page that a user has read last was about."""

import re
from datetime import datetime, timedelta
from tecton import stream_feature_view
from tecton.types import Array, Field, Float64, Map, String, Struct, Timestamp
from ads.entities import user
from ads.data_sources.page_views import page_view_source

WORD = re.compile(r"[a-z]+")
STOP_WORDS = frozenset({"a", "and", "for", "in", "is", "of", "the", "to", "what"})

output_schema = [
    Field(name="user_id", dtype=String),
    Field(name="timestamp", dtype=Timestamp),
    Field(name="keywords", dtype=Array(String)),
    Field(name="page", dtype=Struct([Field("site", String), Field("words", Array(String))])),
    Field(name="share_by_section", dtype=Map(String, Float64)),
]


def shares(seconds):
    """Each section's part of the time; none of nothing."""
    total = sum(spent or 0 for spent in seconds.values())
    return {name: (spent or 0) / total for name, spent in seconds.items()} if total else {}


@stream_feature_view(
    source=page_view_source,
    entities=[user],
    online=True,
    offline=True,
    feature_start_time=datetime(2022, 1, 1),
    ttl=timedelta(days=30),
    batch_schedule=timedelta(days=1),
    mode="python",
    schema=output_schema,
    description="Keywords of the last page, and where on it a user has spent the time",
)
def keyword_ingest_fv(page_view):
    if page_view["page"] is None:
        return None
    words = WORD.findall((page_view["page"]["title"] or "").lower())
    keywords = [word for word in words if word not in STOP_WORDS]
    return {
        "user_id": page_view["user_id"],
        "timestamp": page_view["timestamp"],
        "keywords": sorted({*keywords, *(tag for tag in page_view["tags"] or [] if tag)}),
        "page": {"site": (page_view["page"]["url"] or "").split("/")[0] or None, "words": words},
        "share_by_section": shares(page_view["seconds_by_section"] or {}),
    }
