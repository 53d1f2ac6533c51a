"""`stores.OnlineStore`: what every implementation keeps."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import count, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tecton.adapters.redis_commands import RedisClient
from tecton.adapters.redis_online import RedisOnlineStore
from tecton.applied import AppliedAggregation
from tecton.errors import StoreUnavailable, ViewNotLoaded
from tecton.rows import BATCH_SEQUENCE_OFFSET, FeatureRow, encode_key, row_of
from tecton.stores import Doubt, OnlineStore, Reached, Stored
from tecton.testing import NOW, InMemoryOnlineStore, build_view
from tecton.timestamps import micros_of
from tests.redis_places import KINDS, Place, place_of

AT = micros_of(NOW)
AGGREGATION = AppliedAggregation(
    name="n", column="clicked", function="count", time_window=timedelta(days=4000)
)
LATER_MS = 10 * 365 * 86_400_000
FRESH = count()


@pytest.fixture(params=["memory", *KINDS])
def place(request: pytest.FixtureRequest) -> Place | None:
    """Where the store is; None: in memory."""
    if request.param == "memory":
        return None
    return place_of(request)


@pytest.fixture
def store(place: Place | None) -> OnlineStore:
    """An empty store with the view `v` loaded."""
    store: OnlineStore = (
        InMemoryOnlineStore() if place is None else RedisOnlineStore.connect(place.url)
    )
    store.mark_loaded(["v"])
    return store


def flush(store: OnlineStore, place: Place | None) -> None:
    """Empty the store."""
    if isinstance(store, InMemoryOnlineStore):
        store.flush()
    else:
        assert place is not None
        place.flush()


def row(
    timestamp: int = AT,
    sequence: int = 1,
    body: bytes = b"[1]",
    key: str = '["k"]',
    view: str = "v",
) -> FeatureRow:
    return FeatureRow(view, key, timestamp, sequence, body, LATER_MS)


def read(store: OnlineStore, key: str = '["k"]') -> Stored | None:
    return store.read([("v", key)])[0]


def test_stored_row_is_read_back(store: OnlineStore) -> None:
    """What was offered is served."""
    store.upsert([row(AT, 7, b'["\xc3\xa9\x00",null]')])
    assert read(store) == Stored(AT, 7, b'["\xc3\xa9\x00",null]')


def test_key_without_row_is_none(store: OnlineStore) -> None:
    """An unknown key is no error."""
    store.upsert([row()])
    assert store.read([("v", '["other"]'), ("v", '["k"]')]) == [None, Stored(AT, 1, b"[1]")]


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (row(AT + 1, 1), row(AT, 99)),
        (row(AT, 2), row(AT, 1)),
        (row(AT, 1), row(AT, -(2**53) + 5)),
        (row(AT, -4), row(AT, -5)),
        (row(AT, -5, b"[2]"), row(AT, -5, b"[1]")),
        (row(AT, -5, b"[1]"), row(AT, -5, b"[10]")),
        (row(AT, -5, b'["\xc3\xa9"]'), row(AT, -5, b'["e"]')),
        (row(AT, -5, b'["a"]'), row(AT, -5, b'["B"]')),
        (row(1_700_000_000_000_001, 1), row(1_700_000_000_000_000, 2)),
        (row(AT, 2**52 + 1), row(AT, 2**52)),
    ],
)
def test_older_row_does_not_replace_newer(
    store: OnlineStore, newer: FeatureRow, older: FeatureRow
) -> None:
    """Recency is (timestamp, sequence, body bytes), whatever comes first."""
    expected = Stored(newer.timestamp, newer.sequence, newer.body)
    store.upsert([newer])
    store.upsert([older])
    assert read(store) == expected
    store.upsert([older._replace(key='["2"]'), newer._replace(key='["2"]')])
    assert read(store, '["2"]') == expected


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.integers(AT, AT + 2),
            st.sampled_from([-(2**53) + 1, -3, 1, 2, 2**52]),
            st.binary(max_size=3).map(lambda b: b"[" + b),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(),
)
def test_order_of_arrival_never_matters(
    store: OnlineStore, offered: list[tuple[int, int, bytes]], seed: int
) -> None:
    """Any order and any grouping of the same rows leaves the greatest."""
    key = f"[{next(FRESH)}]"
    rows = [row(*fields, key=key) for fields in offered]
    random.Random(seed).shuffle(rows)
    store.upsert(rows[: seed % len(rows)])
    store.upsert(rows)
    kept = read(store, key)
    assert kept == Stored(*max(offered))


def test_every_order_of_three_gives_one_answer(store: OnlineStore) -> None:
    """All six orders of three rows end alike."""
    three = [row(AT, 1, b"[1]"), row(AT, 2, b"[2]"), row(AT - 1, 9, b"[3]")]
    for number, order in enumerate(permutations(three)):
        for offered in order:
            store.upsert([offered._replace(key=f"[{number}]")])
        assert read(store, f"[{number}]") == Stored(AT, 2, b"[2]")


def test_views_and_keys_do_not_meet(store: OnlineStore) -> None:
    """A view's key never answers for another view or key, whatever characters it holds."""
    keys = ['["a:b","c"]', '["a","b:c"]', '["{0}:v"]', '["a\\u0000"]', '["\u00e9"]', '["e\u0301"]']
    store.upsert([row(body=f"[{n}]".encode(), key=key) for n, key in enumerate(keys)])
    found = store.read([("v", key) for key in keys])
    assert [stored and stored.body for stored in found] == [b"[%d]" % n for n in range(len(keys))]


def test_unloaded_view_is_refused(store: OnlineStore) -> None:
    """A view whose rows may be missing is an error, never a missing row."""
    store.upsert([row(view="w")])
    with pytest.raises(ViewNotLoaded):
        store.read([("v", '["k"]'), ("w", '["k"]')])
    store.mark_loaded(["w"])
    assert store.read([("w", '["k"]')]) == [Stored(AT, 1, b"[1]")]


def sure(store: OnlineStore, workspace: str = "w", logged: int = 0) -> None:
    """Answer the doubt of a new store."""
    doubt = store.reserve(workspace, 1, 1, 0)
    assert isinstance(doubt, Doubt)
    assert store.reserve(workspace, 1, 1, logged, doubt.life) == logged + 1


def test_sequences_grow_and_keep_what_is_known(store: OnlineStore) -> None:
    """Nobody gets a sequence twice, or one below the clock's or what the caller was given."""
    sure(store)
    assert store.reserve("w", 3, 100, 0) == 100
    assert store.reserve("w", 1, 0, 0) == 103
    assert store.reserve("w", 2, AT, 103) == AT
    assert store.reserve("w", 1, AT - 5, 0) == AT + 2


def test_sequences_of_a_new_store_are_in_doubt(store: OnlineStore) -> None:
    """Until somebody who has asked before has looked into the logs; then for all."""
    first, second = (store.reserve("w", 1, AT, 0) for _ in range(2))
    assert isinstance(first, Doubt)
    assert first == second
    assert store.reserve("w", 1, AT, 0, "another") == first
    assert store.reserve("w", 1, 5, AT + 7, first.life) == AT + 8
    assert store.reserve("w", 1, 5, 0) == AT + 9
    assert isinstance(store.reserve("v", 1, AT, 0), Doubt)


def test_lost_sequences_are_in_doubt_again(store: OnlineStore, place: Place | None) -> None:
    """What was said of the store before it was emptied does not hold for what it is now."""
    before = store.reserve("w", 1, AT, 0)
    assert isinstance(before, Doubt)
    flush(store, place)
    after = store.reserve("w", 1, AT, 0, before.life)
    assert isinstance(after, Doubt)
    assert after != before
    sure(store, "v")
    flush(store, place)
    assert isinstance(store.reserve("v", 1, AT, 0), Doubt)


def test_sequences_below_what_was_given_are_in_doubt(store: OnlineStore) -> None:
    """A caller who knows better than the store shows that it has lost something."""
    sure(store)
    doubt = store.reserve("w", 1, 1, 50)
    assert isinstance(doubt, Doubt)
    assert store.reserve("w", 1, 1, 0) == doubt
    assert store.reserve("w", 1, 1, 70, doubt.life) == 71
    assert store.reserve("w", 1, 1, 71) == 72


def test_logged_batch_raises_the_sequences(store: OnlineStore) -> None:
    """Those of its own workspace: also while they are in doubt, and also if there is a gap."""
    sure(store)
    assert store.apply("w:0", 0, 1, [], 300)
    assert store.reserve("w", 1, 1, 0) == 301
    assert not store.apply("w:0", 5, 6, [], 400)
    assert store.apply("w:0", 1, 2, [], 350)
    assert store.reserve("w", 1, 1, 0) == 401
    doubt = store.reserve("v", 1, 1, 0)
    assert isinstance(doubt, Doubt)
    assert store.apply("v:1", 0, 1, [], 500)
    assert store.reserve("v", 1, 1, 20, doubt.life) == 501


def test_batches_are_applied_in_a_chain(store: OnlineStore) -> None:
    """A batch whose predecessor is missing is refused and changes nothing."""
    assert store.applied_batch("log") == 0
    assert store.apply("log", 0, 1, [row(sequence=1)])
    assert not store.apply("log", 2, 3, [row(sequence=9)])
    assert read(store) == Stored(AT, 1, b"[1]")
    assert store.applied_batch("log") == 1
    assert store.apply("log", 1, 2, [row(sequence=2)])
    assert store.applied_batch("log") == 2


def test_a_batch_may_be_applied_again(store: OnlineStore) -> None:
    """Replaying an old batch changes nothing and does not set the watermark back."""
    store.apply("log", 0, 1, [row(sequence=1)])
    store.apply("log", 1, 2, [row(sequence=2, body=b"[2]")])
    assert store.apply("log", 0, 1, [row(sequence=1)])
    assert read(store) == Stored(AT, 2, b"[2]")
    assert store.applied_batch("log") == 2


def test_large_batch_is_applied_whole(store: OnlineStore) -> None:
    """More rows than one script call takes."""
    rows = [row(key=f"[{n}]") for n in range(2500)]
    assert store.apply("log", 0, 1, rows)
    found = store.read([("v", one.key) for one in rows])
    assert all(found)
    assert store.apply("log", 1, 2, [])


def test_load_that_lost_rows_is_not_marked(store: OnlineStore, place: Place | None) -> None:
    """A store that is emptied while a view is being loaded refuses the mark."""
    lost = store.begin_load("w")
    flush(store, place)
    load = store.begin_load("w")
    with pytest.raises(StoreUnavailable):
        store.mark_loaded(["w"], lost)
    assert store.unloaded(["w"]) == ["w"]
    store.mark_loaded(["w"], load)
    assert store.unloaded(["w"]) == []


def test_views_come_as_far_as_the_last_load_and_never_back(store: OnlineStore) -> None:
    """What jobs brought and what was erased are told apart."""
    assert store.reached(["v", "w"]) == [Reached(), Reached()]
    store.advance("v", Reached(batch=5), store.begin_load("v"))
    store.advance("v", Reached(batch=3, erased=2**52))
    store.mark_loaded(["w"], store.begin_load("w"), Reached(batch=9))
    assert store.reached(["v", "w"]) == [Reached(5, 2**52), Reached(9, 0)]
    assert store.reached([]) == []
    with pytest.raises(StoreUnavailable, match="lost data"):
        store.advance("v", Reached(batch=6), "never begun")
    assert store.reached(["v"]) == [Reached(5, 2**52)]


def test_view_without_its_mark_is_not_loaded(store: OnlineStore) -> None:
    """Its rows stay."""
    store.upsert([row()])
    store.unmark(["v"])
    assert store.unloaded(["v"]) == ["v"]
    store.mark_loaded(["v"])
    assert read(store) is not None


def test_loads_do_not_meet(store: OnlineStore) -> None:
    """Of two loads of a view each ends by itself."""
    first, second = store.begin_load("w"), store.begin_load("w")
    store.mark_loaded(["w"], second)
    store.mark_loaded(["w"], first)
    with pytest.raises(StoreUnavailable):
        store.mark_loaded(["w", "x"], store.begin_load("w"))
    assert store.unloaded(["v", "x", "w"]) == ["x"]


def test_nothing_asked_is_nothing_answered(store: OnlineStore) -> None:
    """No keys, views or rows at all are no error."""
    store.upsert([])
    store.mark_loaded([])
    assert store.read([]) == []
    assert store.unloaded([]) == []


def test_dead_server_is_unavailable() -> None:
    """A driver's error becomes ours."""
    store = RedisOnlineStore.connect("unix:///nonexistent/redis.sock")
    with pytest.raises(StoreUnavailable, match="Redis does not answer"):
        store.reserve("w", 1, 1, 0)


ALIKE: list[list[object]] = [
    *(
        ["a:b", "c"],
        ["a", "b:c"],
        ["a:b:c"],
        ["a", "b", "c"],
        ['a","b', "c"],
        ["a", ""],
        ["a"],
        [""],
    ),
    *([1], ["1"], [True], ["true"], ["é"], ["e\u0301"], ["\0"], ["\\u0000"], ["a\n"], ["a\r\n"]),
    *(["{0}"], ["}{"], ["../x"], ["*"], ["%s"], ["\u2028"], ["\U0001f600"]),
]


def test_keys_that_look_alike_have_rows_of_their_own(store: OnlineStore) -> None:
    """Separators, types, normal forms, NUL and hash tags in join keys, over two views."""
    store.mark_loaded(["v", "w"])
    keys = [(view, encode_key(values)) for view in ("v", "w") for values in ALIKE]
    rows = [row(key=key, view=view, body=b"[%d]" % n) for n, (view, key) in enumerate(keys)]
    store.upsert(rows)
    found = store.read(keys)
    assert [stored and stored.body for stored in found] == [one.body for one in rows]


def test_keys_of_a_view_are_walked(place: Place | None, store: OnlineStore) -> None:
    """Every key of this view alone; a user who may not list keys is told so."""
    keys = [encode_key([user]) for user in ("a", "b*[c]", "é")]
    store.upsert([row(key=key) for key in keys])
    store.upsert([row(key=encode_key(["other"]), view="v2")])
    if place is not None and "tecton:" in place.url:
        with pytest.raises(StoreUnavailable, match="does not allow"):
            list(store.keys("v"))
    else:
        assert sorted(set(store.keys("v"))) == sorted(keys)


def test_forgotten_view_is_not_loaded_and_has_no_rows(
    place: Place | None, store: OnlineStore
) -> None:
    """What says that it is loaded goes first; other views keep what they have."""
    view = build_view(id="w", ttl=None, aggregations=(AGGREGATION,))
    load = store.begin_load("w")
    store.mark_loaded(["v2", "w"])
    user = {"user_id": "a", "clicked": 1}
    store.upsert([row(), row(view="v2"), row_of(view, user, AT, 1)])
    if place is not None and "tecton:" in place.url:
        with pytest.raises(StoreUnavailable, match="does not allow"):
            store.forget(["v", "w"])
        assert store.unloaded(["v", "w"]) == []
        return
    store.advance("w", Reached(batch=1))
    assert store.forget(["v", "w"]) == 2
    store.mark_loaded(["v"])
    assert read(store) is None
    assert list(store.keys("w")) == []
    assert store.reached(["w"]) == [Reached()]
    assert store.unloaded(["w"]) == ["w"]
    with pytest.raises(StoreUnavailable, match="lost data"):
        store.mark_loaded(["w"], load)
    assert store.read([("v2", '["k"]')])[0] is not None
    assert store.forget([]) == 0


def test_load_of_a_view_with_erased_rows_begins_with_none(
    place: Place | None, store: OnlineStore
) -> None:
    """Once: two who load it at the same time must not delete each other's rows for ever."""
    store.upsert([row()])
    store.begin_load("v", erased=5)
    if place is not None and "tecton:" in place.url:
        assert read(store) is not None
        return
    assert store.unloaded(["v"]) == ["v"]
    store.upsert([row()])
    store.mark_loaded(["v"], store.begin_load("v", erased=5))
    assert read(store) is not None
    assert store.reached(["v"]) == [Reached(erased=5)]


class Interrupted(RedisOnlineStore):
    """Between looking for rows and deleting them it lets somebody else do something, once."""

    def __init__(self, redis: RedisClient) -> None:
        super().__init__(redis)
        self.acts: list[Callable[[], object]] = []

    def _walk(self, view: str, tags: Sequence[str]) -> Iterator[Sequence[str]]:
        for names in super()._walk(view, tags):
            while names and self.acts:
                self.acts.pop()()
            yield names


@pytest.mark.parametrize("place", ["single", "cluster"], indirect=True)
def test_load_beside_a_view_that_is_being_forgotten_does_not_count(place: Place) -> None:
    """It offers a row that is deleted a moment later; another load has to bring it again."""
    store, other = Interrupted.connect(place.url), RedisOnlineStore.connect(place.url)
    assert isinstance(store, Interrupted)
    loads: list[str] = []

    def load() -> None:
        loads.append(other.begin_load("v"))
        other.upsert([row()])

    store.upsert([row()])
    store.acts = [load]
    store.forget(["v"])
    with pytest.raises(StoreUnavailable, match="lost data"):
        other.mark_loaded(["v"], loads.pop())

    store.upsert([row()])
    # From the last: the load ends, too, before the row goes.
    store.acts = [lambda: other.mark_loaded(["v"], loads.pop()), load]
    store.forget(["v"])
    assert store.unloaded(["v"]) == ["v"]


def test_erased_rows_go_and_later_ones_stay(store: OnlineStore) -> None:
    """Pushed rows by their sequence, batch rows by when their run began; again does nothing."""
    view = build_view(id="v")
    run = AT - BATCH_SEQUENCE_OFFSET
    sequences = {"pushed": AT, "later": AT + 1, "batch": run, "next": run + 1, "other": AT}
    keys = {user: encode_key([user]) for user in sequences}
    store.upsert([row(sequence=s, key=keys[user]) for user, s in sequences.items()])
    for _ in range(2):
        store.erase(view, [keys[user] for user in list(sequences)[:4]], AT)
        store.erase(view, [encode_key(["never"])], AT)
        left = [user for user, key in keys.items() if read(store, key) is not None]
        assert left == ["later", "next", "other"]
