"""The sketches keep the errors that they state, however their events are split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecton.packed import Kind
from tecton.types import Float64
from tecton.windows import Events, Values
from tecton.windows.layout import Feature, Matrix
from tecton.windows.quantiles import Quantiles
from tecton.windows.registers import Registers, estimate, hash_of, hashes, placed
from tecton.windows.summaries import Summary
from tests.oracle import rank_error
from tests.window_views import aggregation

PERCENTILES = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0)
DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], Matrix]] = {
    "uniform": lambda rng, n: rng.random(n),
    "sorted": lambda rng, n: np.sort(rng.random(n)),
    "long tail": lambda rng, n: rng.exponential(size=n) ** 3,
    "both tails": lambda rng, n: rng.standard_cauchy(n),
    "few values": lambda rng, n: rng.integers(0, 5, n).astype(float),
    "two values": lambda rng, n: (rng.random(n) < 0.503).astype(float),
    "two heaps": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, 1e9) + rng.random(n),
    "powers": lambda rng, n: rng.zipf(1.3, n).astype(float),
    "saw": lambda rng, n: np.arange(n) % 1000.0,
    "infinities": lambda rng, n: rng.choice([-np.inf, 1.0, 2.0, np.inf], n),
}


def column(values: Matrix) -> Events:
    """Events of one column without nulls."""
    return Events(np.arange(values.size), (Values(values, np.ones(values.size, np.bool_)),))


def reduced(summary: Summary, values: Matrix, leaf: int, radix: int) -> bytes:
    """The partial of leaves that are merged level by level, as a trie's directories are."""
    cuts = range(0, values.size, leaf)
    partials = [summary.lift(column(values[at : at + leaf])) for at in cuts]
    while len(partials) > 1:
        groups = range(0, len(partials), radix)
        partials = [summary.merge(partials[at : at + radix]) for at in groups]
    return partials[0]


def percentile(part: float) -> Feature:
    """A feature of `approx_percentile`."""
    applied = aggregation("x", "approx_percentile", 1, precision=100, percentile=part)
    return Feature(applied, 0, 0, Float64)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("precision", [20, 100, 500])
def test_percentiles_keep_the_stated_error_in_rank(name: str, precision: int) -> None:
    """At most n / precision + 1 values lie between the answer and the rank asked for."""
    rng = np.random.default_rng(precision)
    sketch = Quantiles(0, precision)
    for size, leaf, radix in ((500, 60, 16), (20_000, 60, 16), (20_000, 100, 2), (20_000, 7, 300)):
        values = DISTRIBUTIONS[name](rng, size)
        ordered = np.sort(values)
        partial = reduced(sketch, values, leaf, radix)
        allowed = size * rank_error(precision) + 1
        for part in PERCENTILES:
            got = sketch.value(partial, percentile(part))
            below = np.searchsorted(ordered, got, "left")
            up_to = np.searchsorted(ordered, got, "right")
            assert below - allowed <= part * size <= up_to + allowed


def test_percentiles_of_few_values_lie_between_two_of_them() -> None:
    """While all values are kept, the i-th of n has the rank i − ½, and ranks between share."""
    sketch = Quantiles(0, 20)
    partial = reduced(sketch, np.array([4.0, 1.0, 3.0, 2.0]), 1, 2)
    got = [sketch.value(partial, percentile(part)) for part in (0.0, 0.25, 0.3, 0.5, 0.9, 1.0)]
    assert [1.0, 1.5, 1.7, 2.5, 4.0, 4.0] == pytest.approx(got)


def test_percentile_sketch_stays_small() -> None:
    """No more than 4 × precision means, however many values there are."""
    rng = np.random.default_rng(1)
    sketch = Quantiles(0, 100)
    assert len(reduced(sketch, rng.random(50_000), 100, 16)) < 12 * 400 + 30


def test_percentile_of_equal_values_is_that_value() -> None:
    """Means of equal values are exact, so the answer is a value that was there."""
    sketch = Quantiles(0, 20)
    partial = reduced(sketch, np.full(5_000, 0.1), 60, 16)
    answers = {sketch.value(partial, percentile(part)) for part in PERCENTILES}
    assert {0.1} == answers


def test_percentile_of_values_at_the_end_of_the_doubles_is_finite() -> None:
    """Nothing overflows while means are drawn together."""
    sketch = Quantiles(0, 20)
    values = np.tile([1.7e308, -1.7e308, 1.6e308], 2_000)
    partial = reduced(sketch, values, 60, 16)
    assert all(np.isfinite(sketch.value(partial, percentile(part)) or 0) for part in PERCENTILES)


@pytest.mark.parametrize("precision", [4, 8, 12, 16])
def test_distinct_counts_are_close(precision: int) -> None:
    """The standard error is 1.04 / √registers; five of it is never seen."""
    registers = Registers(0, Kind.INTEGER, precision)
    rng = np.random.default_rng(precision)
    feature = percentile(0.5)
    for size in (1, 2, 10, 100, 1_000, 30_000, 200_000):
        values = np.unique(rng.integers(-(2**63), 2**63 - 1, size))
        got = registers.value(registers.lift(column(values)), feature)
        allowed = 5 * 1.04 / 2 ** (precision / 2) * size
        assert abs(got - values.size) <= max(allowed, 2 if precision < 8 else 0.5)


@given(
    st.lists(st.integers(0, 3_000), max_size=400),
    st.integers(1, 50),
    st.integers(2, 5),
    st.sampled_from([4, 8, 11]),
)
def test_registers_are_a_function_of_the_set(
    values: list[int], leaf: int, radix: int, precision: int
) -> None:
    """Repetitions, order and partition change no byte."""
    registers = Registers(0, Kind.INTEGER, precision)
    whole = registers.lift(column(np.unique(np.array(values, np.int64))))
    split = reduced(registers, np.array(values, np.int64), leaf, radix) if values else b""
    assert whole == split


def test_hashes_are_fixed() -> None:
    """Stored registers stay readable: the hash of a value never changes."""
    assert [hash_of(0), hash_of(-1), hash_of(2.5), hash_of("é")] == FIXED
    numbers = np.array([0, -1], np.int64)
    assert hashes(Kind.INTEGER, numbers).tolist() == FIXED[:2]
    assert hashes(Kind.FLOAT, np.array([2.5])).tolist() == FIXED[2:3]
    assert hashes(Kind.TEXT, np.array(["é"], object)).tolist() == FIXED[3:]


FIXED = [16294208416658607535, 16490336266968443936, 7033843765569497573, 3394012004367669963]


@given(st.integers(0, 2**64 - 1), st.integers(4, 16))
def test_ranks_are_leading_zeros_plus_one(hashed: int, precision: int) -> None:
    """The register is the first bits, the rank where the first 1 stands after them."""
    width = 64 - precision
    registers, ranks = placed(precision, np.array([hashed], np.uint64))
    assert registers.tolist() == [hashed >> width]
    assert ranks.tolist() == [width - (hashed & ((1 << width) - 1)).bit_length() + 1]


def test_estimate_holds_at_both_ends() -> None:
    """No register set is 0; what only a chosen input can do is no error."""
    assert estimate(8, []) == 0
    assert estimate(8, [57] * 256) == 2**63 - 1
    assert estimate(8, [56] * 256) == 2**63 - 1
