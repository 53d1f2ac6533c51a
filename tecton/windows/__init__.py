"""
The algebra of time windows: what a view's aggregations need to know of its events, in numpy.

`algebra_of(view)` lifts `Events` to a `State`, merges states, writes and reads them as bytes, and
finalises them to the values of features.
"""

from tecton.windows.algebra import Algebra, Sealed, State, algebra_of
from tecton.windows.events import Events, Values, unpack

__all__ = ["Algebra", "Events", "Sealed", "State", "Values", "algebra_of", "unpack"]
