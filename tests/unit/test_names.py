"""The one encoder of paths, keys and SQL: nothing collides, nothing leads elsewhere."""

from __future__ import annotations

import unicodedata
from datetime import timezone
from pathlib import PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tecton.adapters.redis_keys import CLUSTER_BUCKETS, Buckets, idempotency_key, rate_key, row_key
from tecton.applied import offline_path, push_path
from tecton.names import is_column_name, is_object_name, key_of, path_of, sql_name
from tecton.rows import encode_key
from tecton.testing import build_state
from tecton.types import Field, Int64, String, Struct, ValueMismatch

NASTY = st.sampled_from(
    ["", ".", "..", "../x", "a/b", "/", "a:b", ":", "\0", "a\0", "é", "e\u0301", "a\n", "-x", "~"]
)
PLAIN = st.text("ab0", min_size=1, max_size=2) | st.text("ab.-_=", max_size=4).map("a".__add__)
PARTS = st.lists(PLAIN, max_size=3) | st.lists(PLAIN | NASTY | st.text(max_size=5), max_size=4)
NAMES = st.text("ab.-_", max_size=4).map("a".__add__)


def path_or_none(parts: list[str]) -> str | None:
    try:
        return path_of(*parts)
    except ValueError:
        return None


@given(PARTS, PARTS)
def test_no_two_lists_of_parts_share_a_path(one: list[str], other: list[str]) -> None:
    """Equal paths come from equal parts alone."""
    paths = path_or_none(one), path_or_none(other)
    if None not in paths:
        assert (paths[0] == paths[1]) == (one == other)


@given(PARTS)
def test_path_never_leads_elsewhere(parts: list[str]) -> None:
    """As many folders as parts, each as it was given, no way up, one way to write it."""
    path = path_or_none(parts)
    if path is None:
        return
    assert list(PurePosixPath(path).parts) == parts
    assert ".." not in parts
    assert path.isascii()
    assert unicodedata.normalize("NFC", path) == unicodedata.normalize("NFD", path) == path


@pytest.mark.parametrize(
    "part",
    [
        *("", ".", "..", "../x", "a/b", "a\\b", "a\0", "a\n", "a b", "a:b", "é", "e\u0301"),
        *("%2e%2e", "\udcff", "~", "-x", ".hidden", "x" * 256),
    ],
)
def test_part_that_is_no_folder_is_refused(part: str) -> None:
    """Whoever made the part; the message shows it in ASCII."""
    with pytest.raises(ValueError, match="cannot be a folder or file") as error:
        path_of("registry", part)
    assert str(error.value).isascii()


@given(NAMES, NAMES)
def test_two_workspaces_never_share_a_folder(one: str, other: str) -> None:
    """Nor do two lives of one: the id has no point, so the last point ends the name."""
    assert is_object_name(one)
    ids = "0" * 16, "1" * 16
    states = [build_state(name=name, id=life) for name in {one, other} for life in ids]
    folders = {push_path(state) for state in states}
    folders |= {offline_path(state, state.views[0]) for state in states}
    assert len(folders) == 2 * len(states)


IDS = st.text("0123456789abcdef", min_size=16, max_size=16)
SCALARS = (
    st.text()
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.datetimes(timezones=st.just(timezone.utc))
)
KEYS = st.lists(
    SCALARS | st.sampled_from(["a:b", "a", "b:c", "c", "1", 1, True, "true", 1.0, "1.0", "é"]),
    min_size=1,
    max_size=3,
)


def kinds(key: list[object]) -> list[tuple[type, object]]:
    """Values with their types: to Python 1, True and 1.0 are one."""
    return [(type(value), value) for value in key]


@given(IDS, KEYS, IDS, KEYS)
def test_no_two_rows_share_a_redis_key(
    view: str, key: list[object], other_view: str, other: list[object]
) -> None:
    """Views and join keys of whatever text, numbers, truths and times."""
    # A float's -0.0 is another text than 0.0, though equal; join keys are no floats.
    assume("-0.0" not in encode_key(key) + encode_key(other))
    buckets = Buckets(CLUSTER_BUCKETS)
    texts = encode_key(key), encode_key(other)
    ours, theirs = (
        row_key(buckets.of(text), name, text)
        for name, text in zip((view, other_view), texts, strict=True)
    )
    is_same = view == other_view and kinds(key) == kinds(other)
    assert (ours == theirs) == is_same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a:b", "c"], ["a", "b:c"]),
        (['a","b'], ["a", "b"]),
        (["a"], ["a", ""]),
        ([""], []),
        ([1], ["1"]),
        ([1], [True]),
        (["true"], [True]),
        (["null"], [None]),
        ([1], [1.0]),
        (["é"], ["e\u0301"]),
        (["\0"], ["\\u0000"]),
        (["a\n"], ["a\\n"]),
        (["}", "{0}"], ["{0}", "}"]),
    ],
)
def test_keys_that_look_alike_are_apart(one: list[object], other: list[object]) -> None:
    """Each pair is one that a join by a separator would mix up."""
    assert encode_key(one) != encode_key(other)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc00\ud800"])
def test_lone_surrogates_become_nothing(text: str) -> None:
    """They have no bytes, so no key."""
    with pytest.raises(ValueError, match="surrogates not allowed"):
        encode_key([text])


@given(st.lists(st.text(":ab{}", max_size=4), min_size=1, max_size=4))
def test_key_is_told_apart_again(parts: list[str]) -> None:
    """Of a given number of parts, from left to right; what could not be is refused."""
    try:
        key = key_of(*parts)
    except ValueError:
        assert any(":" in part for part in parts[:-1])
    else:
        assert key.split(":", len(parts) - 1) == parts


@given(IDS, st.text(), IDS, st.text())
def test_accounts_share_no_key_of_requests(
    account: str, name: str, other: str, other_name: str
) -> None:
    """Neither rates nor idempotency keys, whatever the client has chosen."""
    same = (account, name) == (other, other_name)
    assert (rate_key(account, name) == rate_key(other, other_name)) == same
    hashed = [idempotency_key(key_of(*pair)) for pair in ((account, name), (other, other_name))]
    assert (hashed[0] == hashed[1]) == same


@given(st.text())
def test_sql_name_is_one_name(name: str) -> None:
    """Between its backticks stand only pairs of them, so it ends where it ends."""
    quoted = sql_name(name)
    inner = quoted[1:-1]
    assert quoted[0] == quoted[-1] == "`"
    assert "`" not in inner.replace("``", "")
    assert inner.replace("``", "`") == name


def test_sql_of_a_struct_is_quoted() -> None:
    """Names inside of types become SQL too."""
    struct = Struct([Field("a`:int,b", Int64)])
    assert struct.spark == "struct<`a``:int,b`:bigint>"


@pytest.mark.parametrize(
    "name",
    ["", "a`b", "a.b", "a b", 'a"b', "a'b", "a;b", "a,b", "a\0", "a\n", "é", "1a", "x" * 129],
)
def test_column_of_such_a_name_is_none(name: str) -> None:
    """What needs quotes somewhere is refused everywhere."""
    assert not is_column_name(name)


def test_join_key_of_a_request_must_be_text() -> None:
    """A type is never guessed: "1" is no 1."""
    with pytest.raises(ValueError, match="expected Int64"):
        Int64.accept("1")
    with pytest.raises(ValueMismatch, match="expected String"):
        String.accept(1)
