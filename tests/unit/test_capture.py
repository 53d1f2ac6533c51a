"""A function of a feature repo as text: what is carried over, and what is refused."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tecton.definitions import StreamFeatureView
from tecton.functions.capture import Captured, capture
from tecton.functions.loading import load
from tecton.functions.refusals import CannotCapture
from tecton.repo import load_repo

HEAD = """from __future__ import annotations
from tecton import Entity, PushConfig, StreamSource, stream_feature_view
user = Entity(name="user")
source = StreamSource(name="source", stream_config=PushConfig())
view = dict(source=source, entities=[user], mode="python", schema=[])
"""


def captured(folder: Path, features: str, **others: str) -> Captured:
    """The one view's function of a repo with these files, after an import as plans do it."""
    files = {"features": HEAD + textwrap.dedent(features), **others}
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    repo = load_repo(folder)
    assert repo.problems == ()
    [found] = [one for one in repo.definitions if isinstance(one, StreamFeatureView)]
    return capture(found.transformation, folder)


def result(folder: Path, features: str, record: Any, **others: str) -> Any:
    """What the text of the view's function returns, when the repo is gone."""
    found = captured(folder, features, **others)
    for path in folder.rglob("*.py"):
        path.unlink()
    return load(found.name, found.source)(record)


WORKS: Mapping[str, tuple[str, Any]] = {
    "plain function": (
        """
        @stream_feature_view(**view)
        def fv(record):
            return {"x": record["x"] + 1}
        """,
        {"x": 3},
    ),
    "imports of packages": (
        """
        import math
        import collections.abc
        import os.path as paths
        from datetime import datetime as dt, timedelta

        @stream_feature_view(**view)
        def fv(record):
            assert isinstance(record, collections.abc.Mapping)
            assert paths.join("a", "b") == "a/b"
            assert dt(2020, 1, 1) + timedelta(days=1) == dt(2020, 1, 2)
            return {"x": math.floor(2.5)}
        """,
        {"x": 2},
    ),
    "two imports of one package": (
        """
        import xml.dom
        import xml.sax

        @stream_feature_view(**view)
        def fv(record):
            return {"x": 1 if xml.dom and xml.sax else 0}
        """,
        {"x": 1},
    ),
    "constants, one of another": (
        """
        import re
        from datetime import timedelta
        BASE = 10
        LIMIT: int = BASE * 2 + len("ab")
        PAIRS = {"a": [1, 2], "b": (3,)}
        WORD = re.compile(r"[a-z]+")
        DAY = timedelta(days=1)
        TABLE = {key: sum(values) for key, values in PAIRS.items()}

        @stream_feature_view(**view)
        def fv(record):
            assert WORD.match("abc") and DAY.days == 1
            return {"x": LIMIT + TABLE["a"]}
        """,
        {"x": 25},
    ),
    "helper functions and their helpers": (
        """
        RATE = 3

        def outer(x):
            def inner(y):
                return twice(y)
            return inner(x) + RATE

        def twice(x):
            return 2 * x

        @stream_feature_view(**view)
        def fv(record):
            return {"x": outer(record["x"])}
        """,
        {"x": 7},
    ),
    "functions that call each other": (
        """
        def even(n):
            return n == 0 or odd(n - 1)

        def odd(n):
            return n != 0 and even(n - 1)

        @stream_feature_view(**view)
        def fv(record):
            return {"x": int(even(record["x"]))}
        """,
        {"x": 1},
    ),
    "classes with bases, dataclasses and enums": (
        """
        from dataclasses import dataclass
        from enum import Enum
        from typing import ClassVar

        UNIT = 5

        class Base:
            def value(self):
                return UNIT

        @dataclass
        class Point(Base):
            x: int
            origin: ClassVar[int] = 0

        class Colour(Enum):
            RED = 1

        @stream_feature_view(**view)
        def fv(record):
            return {"x": Point(record["x"]).value() + Colour.RED.value + Point.origin}
        """,
        {"x": 6},
    ),
    "cached helper": (
        """
        import functools

        @functools.lru_cache(maxsize=None)
        def slow(x):
            return x * 10

        @stream_feature_view(**view)
        def fv(record):
            return {"x": slow(record["x"])}
        """,
        {"x": 20},
    ),
    "lambda at the top": (
        """
        double = lambda x: 2 * x

        @stream_feature_view(**view)
        def fv(record):
            return {"x": double(record["x"])}
        """,
        {"x": 4},
    ),
    "default argument": (
        """
        STEP = 4

        @stream_feature_view(**view)
        def fv(record, step=STEP):
            return {"x": record["x"] + step}
        """,
        {"x": 6},
    ),
    "annotations that nobody evaluates": (
        """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from somewhere import Thing

        @stream_feature_view(**view)
        def fv(record: Thing) -> dict[str, Thing]:
            found: Thing = record["x"]
            return {"x": found}
        """,
        {"x": 2},
    ),
    "decorator by another name": (
        """
        import tecton
        from tecton import stream_feature_view as sfv

        @sfv(**view)
        def fv(record):
            return {"x": [y for y in range(record["x"])][-1]}
        """,
        {"x": 1},
    ),
    "decorator of the module": (
        """
        import tecton

        @tecton.stream_feature_view(**view)
        def fv(record):
            match = lambda pair: pair[1]
            return {"x": match((0, record["x"]))}
        """,
        {"x": 2},
    ),
    "view made by a call": (
        """
        def clean(record):
            return {"x": record["x"]}

        fv = stream_feature_view(name="fv", **view)(clean)
        """,
        {"x": 2},
    ),
    "local change of what is local": (
        """
        NAMES = ["a"]

        @stream_feature_view(**view)
        def fv(record):
            names = list(NAMES)
            names.append("b")
            record["x"] += len(names)
            return record
        """,
        {"x": 4},
    ),
    "import inside the function": (
        """
        @stream_feature_view(**view)
        def fv(record):
            import math
            return {"x": math.ceil(record["x"])}
        """,
        {"x": 2},
    ),
}


@pytest.mark.parametrize("case", WORKS)
def test_text_runs_without_the_repo(case: str, tmp_path: Path) -> None:
    """The text has all that the function uses."""
    features, expected = WORKS[case]
    assert expected == result(tmp_path, features, {"x": 2})


def test_helpers_of_other_modules_are_inlined(tmp_path: Path) -> None:
    """Whatever module of the repo they are in, by whatever name they were imported."""
    features = """
    from ads.helpers import clean as tidy, RATE
    from ads import LIMIT

    @stream_feature_view(**view)
    def fv(record):
        return {"x": min(tidy(record["x"]) * RATE, LIMIT)}
    """
    helpers = """
    import math
    from .deep import half
    RATE = 3
    def clean(x):
        return math.floor(half(x))
    """
    deep = "from ads.deeper import TWO\ndef half(x):\n    return x / TWO\n"
    others = {
        "ads/__init__": "LIMIT = 100\n",
        "ads/helpers": helpers,
        "ads/deep": deep,
        "ads/deeper": "TWO = 2\n",
    }
    assert {"x": 6} == result(tmp_path, features, {"x": 5}, **others)


def test_text_is_readable_and_says_nothing_else(tmp_path: Path) -> None:
    """What a plan shows is what the user wrote, comments included."""
    features = """
    import json
    UNUSED = 1
    LIMIT = 2  # of a day

    @stream_feature_view(**view)
    def fv(record):
        # never more
        return {"x": min(record["x"], LIMIT)}
    """
    assert captured(tmp_path, features).source == textwrap.dedent(
        """\
        from __future__ import annotations


        LIMIT = 2


        def fv(record):
            # never more
            return {"x": min(record["x"], LIMIT)}
        """
    )


def test_text_does_not_depend_on_what_is_not_used(tmp_path: Path) -> None:
    """Moving the function, or changing something else, is no change of it."""
    function = "\n@stream_feature_view(**view)\ndef fv(record):\n    return {'x': B + A}\n"
    first = captured(tmp_path / "1", "A = 1\nB = 2\n" + function)
    second = captured(tmp_path / "2", "import re\nB = 2\n\nA = 1\nC = 3\n" + function)
    assert first.source == second.source


@pytest.mark.parametrize("use", ["time.time()", "random.random()", "datetime.now()", "open('x')"])
def test_unsteady_function_is_warned_of(use: str, tmp_path: Path) -> None:
    """A replay would give other rows; the plan says so, with the line."""
    features = f"""
    import random, time
    from datetime import datetime

    @stream_feature_view(**view)
    def fv(record):
        return {{"x": {use}}}
    """
    [warning] = captured(tmp_path, features).warnings
    assert warning.startswith("features.py:12: the function depends on ")


def test_steady_function_is_not_warned_of(tmp_path: Path) -> None:
    """Times of the record are no clock."""
    features = """
    from datetime import timedelta

    @stream_feature_view(**view)
    def fv(record):
        return {"x": record["x"] + timedelta(days=1)}
    """
    assert captured(tmp_path, features).warnings == ()


BODY = "    return {'x': VALUE}\n"
REFUSED: Mapping[str, tuple[str, str]] = {
    "lambda": (
        "fv = stream_feature_view(name='fv', **view)(lambda record: record)\n",
        "features.py:6: the function is a lambda",
    ),
    "async": (
        "@stream_feature_view(**view)\nasync def fv(record):\n    return record\n",
        "features.py:6: the function is `async`",
    ),
    "generator": (
        "@stream_feature_view(**view)\ndef fv(record):\n    yield record\n",
        "the function yields its rows; return them as a list",
    ),
    "closure": (
        """
        def make(limit):
            @stream_feature_view(**view)
            def fv(record):
                return {"x": limit}
            return fv
        fv = make(3)
        """,
        "the function uses `limit` of a function around it",
    ),
    "inner function without a closure": (
        """
        def make():
            @stream_feature_view(**view)
            def fv(record):
                return record
            return fv
        fv = make()
        """,
        "is not at the top of its file",
    ),
    "no argument": (
        "@stream_feature_view(**view)\ndef fv():\n    return {}\n",
        "the function must take one argument",
    ),
    "two arguments": (
        "@stream_feature_view(**view)\ndef fv(a, b):\n    return {}\n",
        "the function must take one argument",
    ),
    "no function": (
        "fv = stream_feature_view(name='fv', **view)(dict)\n",
        "expected a function, saw a type",
    ),
    "another decorator": (
        """
        def noted(function):
            return function

        @stream_feature_view(**view)
        @noted
        def fv(record):
            return record
        """,
        "features.py:11: the function has the decorator `noted`",
    ),
    "function of a package": (
        "import json\nfv = stream_feature_view(name='fv', **view)(json.dumps)\n",
        "the function is not in the feature repo",
    ),
    "constant of a condition": (
        f"""
        if True:
            VALUE = 1
        @stream_feature_view(**view)
        def fv(record):
        {BODY}
        """,
        "features.py:7: `VALUE` is bound inside `if`",
    ),
    "constant of a loop": (
        f"for VALUE in [1]:\n    pass\n@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "`VALUE` is bound inside `for`",
    ),
    "constant of a try": (
        "try:\n    import json\nexcept ImportError:\n    json = None\n"
        "@stream_feature_view(**view)\ndef fv(record):\n    return json.loads('1')\n",
        "features.py:6: `json` is bound inside `try`",
    ),
    "constant set twice": (
        f"VALUE = 1\nVALUE = 2\n@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "`VALUE` is defined more than once (lines 6 and 7)",
    ),
    "constant added to": (
        f"VALUE = 1\nVALUE += 2\n@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "features.py:7: `VALUE` is bound by `+=`",
    ),
    "constant changed by an item": (
        f"VALUE = {{}}\nVALUE['a'] = 1\n@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "features.py:7: `VALUE` is changed after it was defined",
    ),
    "constant changed by a method": (
        f"VALUE = []\nVALUE.append(1)\n@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "features.py:7: `VALUE` is changed after it was defined",
    ),
    "constant of a file": (
        f"VALUE = open(__file__).read()\n@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "`VALUE` is computed when the file is imported, by `open(__file__)`",
    ),
    "constant of the environment": (
        f"import os\nVALUE = os.environ.get('X')\n"
        f"@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "features.py:7: `VALUE` is computed when the file is imported, by `os.environ.get('X')`",
    ),
    "constant of the clock": (
        f"from datetime import datetime\nVALUE = datetime.now()\n"
        f"@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "by `datetime.now()`",
    ),
    "constants of one tuple": (
        f"VALUE, OTHER = 1, 2\n@stream_feature_view(**view)\ndef fv(record):\n{BODY}",
        "`VALUE` is bound together with others",
    ),
    "global": (
        "COUNT = 0\n@stream_feature_view(**view)\ndef fv(record):\n    global COUNT\n"
        "    COUNT = COUNT + 1\n    return {'x': COUNT}\n",
        "features.py:9: `global` sets `COUNT`",
    ),
    "memory between records": (
        "SEEN = {}\n@stream_feature_view(**view)\ndef fv(record):\n    SEEN['x'] = 1\n"
        "    return {'x': 1}\n",
        "features.py:9: the function changes `SEEN`",
    ),
    "memory of a method": (
        "SEEN = []\n@stream_feature_view(**view)\ndef fv(record):\n    SEEN.append(1)\n"
        "    return {'x': 1}\n",
        "features.py:9: the function changes `SEEN`",
    ),
    "memory of a helper": (
        "def helper():\n    helper.calls = 1\n\n@stream_feature_view(**view)\ndef fv(record):\n"
        "    helper()\n    return {'x': 1}\n",
        "features.py:7: the function changes `helper`",
    ),
    "unknown name": (
        "@stream_feature_view(**view)\ndef fv(record):\n    return {'x': missing}\n",
        "features.py:8: `missing` is not defined at the top of the file",
    ),
    "star import": (
        "from math import *\n@stream_feature_view(**view)\ndef fv(record):\n"
        "    return {'x': floor(1.5)}\n",
        "features.py:9: `floor` may come from an `import *`",
    ),
    "its own file": (
        "@stream_feature_view(**view)\ndef fv(record):\n    return {'x': __file__}\n",
        "`__file__` has no meaning outside the repo",
    ),
    "evaluated text": (
        "@stream_feature_view(**view)\ndef fv(record):\n    return eval('record')\n",
        "`eval` has no meaning outside the repo",
    ),
    "definition of tecton": (
        "@stream_feature_view(**view)\ndef fv(record):\n    return Entity(name='x')\n",
        "`Entity` comes from tecton",
    ),
    "object of the repo": (
        "@stream_feature_view(**view)\ndef fv(record):\n    return {'x': user.name}\n",
        "`user` is computed when the file is imported, by `Entity(name='user')`",
    ),
    "module of the repo": (
        "import helpers\n@stream_feature_view(**view)\ndef fv(record):\n"
        "    return helpers.clean(record)\n",
        "features.py:6: `helpers` is a module of the repo",
    ),
    "module of a package of the repo": (
        "from pkg import helpers\n@stream_feature_view(**view)\ndef fv(record):\n"
        "    return helpers.clean(record)\n",
        "features.py:6: `helpers` is a module of the repo",
    ),
    "module of the repo inside the function": (
        "@stream_feature_view(**view)\ndef fv(record):\n    from helpers import clean\n"
        "    return clean(record)\n",
        "features.py:8: helpers is a module of the repo and is imported inside a function",
    ),
    "two things of one name": (
        "from helpers import clean\ndef other(x):\n    return x\nLIMIT = 5\n"
        "@stream_feature_view(**view)\ndef fv(record):\n    return {'x': LIMIT + clean(1)}\n",
        "two different things called `LIMIT` (that of features.py and that of helpers.py)",
    ),
    "two imports of one name": (
        "from helpers import parse\nfrom datetime import datetime\n"
        "@stream_feature_view(**view)\ndef fv(record):\n    return parse(datetime(2020, 1, 1))\n",
        "two different things called `datetime`",
    ),
    "helper of a loop in another file": (
        "from helpers import looped\n@stream_feature_view(**view)\ndef fv(record):\n"
        "    return {'x': looped}\n",
        "helpers.py:9: `looped` is bound inside `for`",
    ),
}
HELPERS = """\
import datetime
LIMIT = 4
def clean(x):
    return x + LIMIT

def parse(x):
    return datetime.date.fromisoformat(x)

for looped in [1]:
    pass
"""


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_carried_over_is_refused(case: str, tmp_path: Path) -> None:
    """With the line, and what to do."""
    features, expected = REFUSED[case]
    others = {"helpers": HELPERS, "pkg/__init__": "", "pkg/helpers": HELPERS}
    with pytest.raises(CannotCapture) as refusal:
        captured(tmp_path, features, **others)
    assert expected in str(refusal.value)


def test_huge_table_is_refused(tmp_path: Path) -> None:
    """Every version of a workspace keeps the text."""
    table = ", ".join(f"{number}: 'name {number}'" for number in range(20_000))
    function = "@stream_feature_view(**view)\ndef fv(record):\n    return VALUE\n"
    with pytest.raises(CannotCapture, match="put large tables into an installed package"):
        captured(tmp_path, f"VALUE = {{{table}}}\n{function}")
