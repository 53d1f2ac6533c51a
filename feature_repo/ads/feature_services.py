"""What the click model reads."""

from tecton import FeatureService
from ads.features.stream_features.click_events_fv import click_events_fv
from ads.features.stream_features.keyword_ingest_fv import keyword_ingest_fv

ad_ctr_feature_service = FeatureService(
    name="ad_ctr_feature_service",
    description="A Feature Service providing features for a model that predicts if a user will click an ad.",
    online_serving_enabled=True,
    features=[
        click_events_fv,
    ],
)

keyword_feature_service = FeatureService(
    name="keyword_feature_service",
    description="What a user reads about.",
    features=[keyword_ingest_fv],
)
