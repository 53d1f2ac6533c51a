"""How much each user has clicked of late."""

from datetime import datetime, timedelta
from tecton import Aggregation, StreamFeatureView
from tecton.aggregation_functions import last_distinct
from ads.entities import user
from ads.data_sources.ad_clicks import click_event_source

user_click_counts = StreamFeatureView(
    name="user_click_counts",
    source=click_event_source,
    entities=[user],
    online=True,
    offline=True,
    feature_start_time=datetime(2022, 1, 1),
    batch_schedule=timedelta(days=1),
    aggregations=[
        Aggregation(column="clicked", function="sum", time_window=timedelta(hours=1)),
        Aggregation(column="clicked", function="count", time_window=timedelta(days=3)),
        Aggregation(column="ad_id", function=last_distinct(3), time_window=timedelta(days=3)),
    ],
    description="What a user was shown and clicked over the last hour and the last three days",
)
