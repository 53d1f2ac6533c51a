"""Definitions are inert values (contract §1)."""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path

import pytest

from tecton import (
    Entity,
    FeatureService,
    FileConfig,
    PushConfig,
    StreamFeatureView,
    StreamSource,
    stream_feature_view,
)
from tecton.definitions import FeatureReference
from tecton.types import Field, Int64, String

SOURCE = StreamSource(name="s", schema=[], stream_config=PushConfig())
USER = Entity(name="user", join_keys="user_id")


@pytest.mark.parametrize(
    ("join_keys", "names"),
    [
        (None, ("user",)),
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        (Field("a", String), ("a",)),
        ([Field("a", String), Field("b", Int64)], ("a", "b")),
    ],
)
def test_join_keys_in_every_form(join_keys: object, names: tuple[str, ...]) -> None:
    """A name, names or Fields; by default the entity's name."""
    assert Entity(name="user", join_keys=join_keys).join_key_names == names


@pytest.mark.parametrize(("key", "names"), [((), ()), ("a", ("a",)), (["a", "b"], ("a", "b"))])
def test_event_key_in_every_form(key: object, names: tuple[str, ...]) -> None:
    """A name or several; by default none."""
    assert PushConfig(event_key=key).event_key_names == names


def test_arguments_are_by_keyword() -> None:
    """Positions mean nothing."""
    with pytest.raises(TypeError):
        Entity("user")


def test_unknown_argument_is_a_type_error() -> None:
    """A misspelled argument is not swallowed."""
    with pytest.raises(TypeError, match="tll"):
        StreamFeatureView(name="v", source=SOURCE, entities=[USER], tll=timedelta(1))


def test_definitions_know_where_they_are() -> None:
    """Messages lead to the line."""
    user = Entity(name="user")
    file, _, line = user.defined_at.rpartition(":")
    assert Path(file).name == "test_definitions.py"
    text = Path(file).read_text("utf-8").splitlines()[int(line) - 1]
    assert text.strip() == 'user = Entity(name="user")'


def test_placement_is_taken_with_one_warning() -> None:
    """Arguments of 0.8 that only place work are accepted."""
    with pytest.warns(UserWarning, match="`batch_compute`, `online_store` only places work") as got:
        view = StreamFeatureView(
            name="v", source=SOURCE, entities=[USER], online_store=1, batch_compute=2
        )
    assert len(got) == 1
    assert got[0].filename == __file__
    assert view.name == "v"


def test_documented_arguments_do_not_warn() -> None:
    """Nothing to say about what is understood."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FileConfig(uri="x", file_format="parquet", timestamp_field="t")
        StreamFeatureView(name="v", source=SOURCE, entities=[USER], description="d")


def test_references_add_up() -> None:
    """`view[[…]]`, `with_name` and `with_join_key_map` can be combined in any order."""
    view = StreamFeatureView(name="v", source=SOURCE, entities=[USER])
    one = view[["f"]].with_name("n").with_join_key_map({"user_id": "k"})
    other = view.with_join_key_map({"user_id": "k"}).with_name("n")[["f"]]
    for reference in (one, other):
        assert isinstance(reference, FeatureReference)
        assert reference.view is view
        assert reference.namespace == "n"
        assert reference.features == ("f",)
        assert reference.join_key_map == {"user_id": "k"}
    assert FeatureService(name="svc", features=[view, one]).online_serving_enabled


def test_decorator_names_the_view_after_the_function() -> None:
    """`@stream_feature_view` takes what `StreamFeatureView` takes."""

    @stream_feature_view(source=SOURCE, entities=[USER], mode="python")
    def clicks(record: object) -> object:
        return record

    assert isinstance(clicks, StreamFeatureView)
    assert (clicks.name, clicks.mode) == ("clicks", "python")
    assert clicks.transformation is not None
