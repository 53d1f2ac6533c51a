"""What the features of this package are about."""

from tecton import Entity

aircraft = Entity(
    name="aircraft",
    join_keys=["tailnum"],
    description="One airframe, by the number on its tail.",
)

airport = Entity(
    name="airport",
    join_keys=["origin"],
    description="Where flights depart, by its code of three letters.",
)
