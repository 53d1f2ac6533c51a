"""Views with a function, as plans see them: their rules, what is applied, what differs."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tecton.applied import AppliedFunction, AppliedView
from tecton.checks import check
from tecton.errors import DefinitionError
from tecton.functions.transformation import turned_off
from tecton.plan import Action, desired_of, make_plan
from tecton.plan.functions import SHOWN_LINES, function_difference, is_same_code
from tecton.repo import load_repo
from tecton.resolve import Desired
from tecton.testing import NOW, build_function_view, build_source, build_state
from tecton.types import Field, Int64, String, Timestamp

REPO = """
from datetime import datetime, timedelta
from tecton import Entity, FeatureService, PushConfig, StreamSource, stream_feature_view
from tecton.types import Field, Float64, Int64, String, Timestamp

user = Entity(name="user", join_keys="user_id")
source = StreamSource(
    name="purchases",
    schema=[Field("who", String), Field("at", Timestamp), Field("cents", Int64),
            Field("order", String)],
    stream_config=PushConfig(event_key="order"),
)
SCHEMA = [Field("user_id", String), Field("timestamp", Timestamp), Field("euros", Float64)]
"""
VIEW = """
@stream_feature_view(
    source=source, entities=[user], online=True, feature_start_time=datetime(2022, 1, 1),
    mode={mode}, schema={schema}, {more}
)
def spent(record):
    # in euros
    euros = record["cents"] / 100
    return {{"user_id": record["who"], "timestamp": record["at"], "euros": euros}}
"""


def desired(folder: Path, text: str = "", repo: str = REPO, **changes: Any) -> Desired:
    given = {"mode": '"python"', "schema": "SCHEMA", "more": "", **changes}
    folder.mkdir(exist_ok=True)
    (folder / "features.py").write_text(repo + (text or VIEW.format(**given)))
    return desired_of(load_repo(folder))


def problems(folder: Path, **changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as error:
        desired(folder, **changes)
    return [(problem.field, problem.message) for problem in error.value.problems]


def test_view_with_a_function_is_applied(tmp_path: Path) -> None:
    """Its columns are those of its schema, its event key that of the record."""
    [view] = desired(tmp_path).views
    assert [field.name for field in view.key_fields] == ["user_id"]
    assert (view.timestamp_field, [f.name for f in view.value_fields]) == ("timestamp", ["euros"])
    assert view.event_key == ("_event_order",)
    assert [field.name for field in view.event_fields] == ["_event_order"]
    assert view.function is not None
    assert (view.function.name, view.function.mode) == ("spent", "python")
    assert view.function.source.startswith("from __future__ import annotations\n\n\ndef spent(")


def test_applied_function_survives_the_registry(tmp_path: Path) -> None:
    """And a document from before there were functions is read as it was."""
    [view] = desired(tmp_path).views
    assert msgspec.json.decode(msgspec.json.encode(view), type=AppliedView) == view
    plain = msgspec.structs.replace(view, function=None, event_columns=())
    encoded = msgspec.json.encode(plain)
    assert b"function" not in encoded
    assert msgspec.json.decode(encoded, type=AppliedView) == plain


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"mode": "None"}, "mode", 'expected "python" (a dict in)'),
        ({"mode": '"spark_sql"'}, "mode", "for which a pushed record cannot wait"),
        ({"mode": '"pyspark"'}, "mode", "for which a pushed record cannot wait"),
        ({"schema": "None"}, "schema", "expected a list of Field"),
        ({"schema": "[*SCHEMA, 1]"}, "schema", "expected Field(name, dtype)"),
        ({"schema": "[*SCHEMA, Field('_tie', Int64)]"}, "schema._tie", "column of the system"),
        ({"schema": "SCHEMA[1:]"}, "entities", "join key `user_id` is not in the view's schema"),
        ({"schema": "SCHEMA[::2]"}, "timestamp_field", "the view's schema has no Timestamp"),
        ({"schema": "SCHEMA[:2]"}, "schema", "has no column besides join keys and timestamp"),
        ({"more": "timestamp_field='at'"}, "timestamp_field", '"at" is not in the view\'s schema'),
        (
            {"schema": "[*SCHEMA, Field('_event_order', String)]"},
            "schema._event_order",
            "keeps the event_key `order` of the source",
        ),
    ],
)
def test_wrong_view(changes: dict[str, str], field: str, message: str, tmp_path: Path) -> None:
    """Each argument is checked, and no other is blamed."""
    [(blamed, told)] = problems(tmp_path, **changes)
    assert blamed == field
    assert message in told


def test_what_cannot_be_captured_is_a_problem_with_its_line(tmp_path: Path) -> None:
    """In the file where it is."""
    text = VIEW.format(mode='"python"', schema="SCHEMA", more="").replace("100", "RATE")
    [(field, message)] = problems(tmp_path, text="if True:\n    RATE = 100\n" + text)
    assert field == "transformation"
    assert message.startswith("features.py:14: `RATE` is bound inside `if`")


@pytest.mark.parametrize("argument", ["mode='python'", "schema=SCHEMA"])
def test_arguments_of_a_function_without_one(argument: str, tmp_path: Path) -> None:
    """They would be ignored, so they are refused."""
    text = f"""
from tecton import StreamFeatureView
view = StreamFeatureView(name="v", source=source, entities=[Entity(name="who")], {argument})
"""
    [(field, message)] = problems(tmp_path, text=text)
    assert field == argument.partition("=")[0]
    assert "decorate one with @stream_feature_view" in message


def test_functions_turned_off(tmp_path: Path) -> None:
    """Nothing of such a view is planned."""
    desired(tmp_path)
    repo = load_repo(tmp_path)
    [problem] = check(repo.definitions, tmp_path, are_functions_on=False)
    assert problem.field == "transformation"
    assert "functions are turned off (TECTON_FUNCTIONS=off)" in problem.message


def test_unsteady_function_is_warned_of(tmp_path: Path) -> None:
    """Once, with its line."""
    text = VIEW.format(mode='"python"', schema="SCHEMA", more="").replace(
        'record["at"]', "datetime.now()"
    )
    [warning] = desired(tmp_path, text=text).warnings
    assert "the function depends on the clock" in warning


def test_service_of_a_view_with_a_function(tmp_path: Path) -> None:
    """Its features are the columns of the schema."""
    text = VIEW.format(mode='"python"', schema="SCHEMA", more="")
    text += 'svc = FeatureService(name="svc", features=[spent[["euros"]]])\n'
    [service] = desired(tmp_path, text=text).services
    assert service.views[0].features == ("euros",)


def planned(tmp_path: Path, before: str, after: str) -> Any:
    state = build_state([], [], [], entities=())
    ids = iter(f"{number:016}" for number in range(10))
    first = make_plan(state, desired(tmp_path / "1", before), now=NOW, new_id=lambda: next(ids))
    return make_plan(first.state, desired(tmp_path / "2", after), now=NOW, new_id=lambda: next(ids))


PLAIN = VIEW.format(mode='"python"', schema="SCHEMA", more="")


def test_unchanged_function_is_no_change(tmp_path: Path) -> None:
    """Wherever in its file it stands."""
    assert planned(tmp_path, PLAIN, "\nOTHER = 1\n\n" + PLAIN).is_empty


def test_changed_function_recreates_the_view_and_shows_how(tmp_path: Path) -> None:
    """As a difference between the texts."""
    [change] = planned(tmp_path, PLAIN, PLAIN.replace("/ 100", "/ 1000")).changes
    assert (change.action, change.name) == (Action.RECREATE, "spent")
    [detail] = change.details
    assert detail == textwrap.dedent(
        """\
        function spent: changed
          @@ -5,3 +5,3 @@
               # in euros
          -    euros = record["cents"] / 100
          +    euros = record["cents"] / 1000
               return {"user_id": record["who"], "timestamp": record["at"], "euros": euros}"""
    )


def test_changed_helper_recreates_the_view(tmp_path: Path) -> None:
    """What a function uses is part of it."""
    text = PLAIN.replace("/ 100", "/ RATE")
    [change] = planned(tmp_path, "RATE = 100\n" + text, "RATE = 1000\n" + text).changes
    assert change.action is Action.RECREATE
    assert "-RATE = 100\n" in change.details[0]


def test_comments_and_layout_recreate_nothing(tmp_path: Path) -> None:
    """The new text is kept, the generation stays."""
    plan = planned(tmp_path, PLAIN, PLAIN.replace("# in euros", "# in euros, not cents"))
    [change] = plan.changes
    assert change.action is Action.UPDATE
    assert change.details[0].startswith("function spent: layout and comments alone\n")
    assert not plan.backfills
    assert "not cents" in plan.state.views[0].function.source


def test_function_that_comes_goes_or_changes_its_mode() -> None:
    """Each in one line."""
    python = AppliedFunction(name="f", mode="python", source="def f(x):\n    return x\n")
    pandas = msgspec.structs.replace(python, mode="pandas")
    assert function_difference(None, python) == "function: none → f (mode python)"
    assert function_difference(python, None) == "function: f (mode python) → none"
    assert function_difference(python, pandas) == "function f: mode python → pandas"
    assert not is_same_code(python, pandas)
    assert not is_same_code(python, None)


def test_long_difference_is_cut() -> None:
    """A plan stays readable."""
    old, new = (
        AppliedFunction(name="f", mode="python", source="".join(f"x{i} = {n}\n" for i in range(99)))
        for n in (1, 2)
    )
    lines = function_difference(old, new).splitlines()
    assert len(lines) == SHOWN_LINES + 2
    assert lines[-1] == f"  … and {199 - SHOWN_LINES} more lines"


def test_turned_off_workspace_keeps_all_but_the_functions() -> None:
    """What jobs and notebooks work on where functions must not run."""
    fields = (Field("user_id", String), Field("timestamp", Timestamp), Field("n", Int64))
    source = build_source(fields=fields)
    view = build_function_view(source, "def fv(r): return r", fields)
    state = build_state([source], [view])
    [off] = turned_off(state).views
    assert off.function is not None
    assert (off.function.mode, off.function.source) == ("off", "")
    assert off.columns == view.columns
