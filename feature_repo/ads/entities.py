"""Whom the features of this package are about."""

from tecton import Entity

user = Entity(
    name="user",
    join_keys=["user_id"],
    description="Somebody to whom ads are shown.",
)
