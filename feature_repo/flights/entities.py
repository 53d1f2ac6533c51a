"""What the features of this package are about."""

from tecton import Entity

aircraft = Entity(
    name="aircraft",
    join_keys=["tailnum"],
    description="One airframe, by the number on its tail.",
)
