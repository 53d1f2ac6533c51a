"""Loading feature repos: real files, imported for real."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tecton.repo import load_repo

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of the repo in `tmp_path`."""

    def write(name: str, source: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))

    return write


USER = 'from tecton import Entity\nuser = Entity(name="user")\n'


def names(root: Path) -> list[str]:
    """The names of the definitions in a repo, none of whose files has a problem."""
    loaded = load_repo(root)
    assert loaded.problems == ()
    return [definition.name for definition in loaded.definitions]


def test_files_import_each_other_from_the_root(tmp_path: Path, write: Write) -> None:
    """`from ads.entities import user` works, with and without `__init__.py`."""
    write("ads/entities.py", USER)
    write("ads/deep/more.py", "from ads.entities import user\nagain = user\n")
    write("flights/__init__.py", "from ads.entities import user\n")
    assert names(tmp_path) == ["user"]


def test_definitions_in_module_level_containers_count(tmp_path: Path, write: Write) -> None:
    """Objects that a loop makes are found in the list or dict that keeps them."""
    write(
        "many.py",
        """
        from tecton import Entity
        listed = [Entity(name=name) for name in ("a", "b")]
        mapped = {"c": Entity(name="c")}
        everything = globals()
        """,
    )
    assert sorted(names(tmp_path)) == ["a", "b", "c"]


def test_other_folders_are_left_out(tmp_path: Path, write: Write) -> None:
    """Hidden folders, virtual environments, tests, notebooks and inner repos are not imported."""
    for folder in (".hidden", ".venv/lib", "venv", "tests", "a/notebooks", "__pycache__", "inner"):
        write(f"{folder}/bad.py", "raise RuntimeError('must not be imported')\n")
    write("venv/pyvenv.cfg", "")
    write("inner/.tecton", "")
    write("entities.py", USER)
    loaded = load_repo(tmp_path)
    assert loaded.files == ("entities.py",)
    assert loaded.problems == ()


def test_python_is_as_before(tmp_path: Path, write: Write) -> None:
    """Neither `sys.path` nor the repo's modules nor compiled files are left behind."""
    write("my_entities.py", USER)
    write("ads/entities.py", USER)
    path, modules = list(sys.path), set(sys.modules)
    load_repo(tmp_path)
    assert sys.path == path
    assert set(sys.modules) == modules
    assert list(tmp_path.rglob("*.pyc")) == []


def test_changed_file_is_read_anew(tmp_path: Path, write: Write) -> None:
    """A second load in the same second sees what the file says now."""
    write("e.py", USER)
    assert names(tmp_path) == ["user"]
    write("e.py", USER.replace('"user"', '"card"'))
    assert names(tmp_path) == ["card"]


def test_modules_imported_before_are_neither_used_nor_lost(tmp_path: Path, write: Write) -> None:
    """A notebook's own import of the repo stays what it was."""
    write("notebook_entities.py", USER)
    sys.path.insert(0, str(tmp_path))
    try:
        import notebook_entities

        write("notebook_entities.py", USER.replace('"user"', '"card"'))
        assert names(tmp_path) == ["card"]
        assert sys.modules["notebook_entities"] is notebook_entities
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("notebook_entities", None)


def test_every_broken_file_is_a_problem_with_its_line(tmp_path: Path, write: Write) -> None:
    """Syntax, import and constructor errors are reported; the other files are still read."""
    write("a_syntax.py", "x = 1\ny = = 2\n")
    write("b_import.py", "\nimport no_such_module_anywhere\n")
    write("c_type.py", 'from tecton import Entity\n\n\nEntity(name="x", jion_keys=["y"])\n')
    write("d_exit.py", "import sys\nsys.exit(3)\n")
    write("e_own.py", "class Odd(Exception): ...\nraise Odd('a\\nb')\n")
    write("f_good.py", USER)
    loaded = load_repo(tmp_path)
    found = [(problem.where, problem.field) for problem in loaded.problems]
    assert found == [
        ("a_syntax.py:2", "SyntaxError"),
        ("b_import.py:2", "ModuleNotFoundError"),
        ("c_type.py:4", "TypeError"),
        ("d_exit.py:2", "SystemExit"),
        ("e_own.py:2", "Odd"),
    ]
    assert "jion_keys" in loaded.problems[2].message
    assert "\n" not in loaded.problems[4].message
    assert [definition.name for definition in loaded.definitions] == ["user"]


def test_whatever_a_file_raises_is_a_problem(tmp_path: Path, write: Write) -> None:
    """Even what is no `Exception`, and what cannot be printed."""
    write("a_base.py", "class Odd(BaseException): ...\nraise Odd('odd')\n")
    write("b_generator.py", "\nraise GeneratorExit\n")
    write(
        "c_silent.py",
        """
        class Silent(Exception):
            def __str__(self):
                raise ValueError
        raise Silent
        """,
    )
    write("d_syntax.py", "raise SyntaxError('x', (3, 1, 1, 'y'))\n")
    write("e_exit.py", "import sys\nsys.exit()\n")
    write("f_key.py", "raise KeyError('x')\n")
    loaded = load_repo(tmp_path)
    assert [(problem.where, problem.field) for problem in loaded.problems] == [
        ("a_base.py:2", "Odd"),
        ("b_generator.py:2", "GeneratorExit"),
        ("c_silent.py:5", "Silent"),
        ("d_syntax.py:1", "SyntaxError"),
        ("e_exit.py:2", "SystemExit"),
        ("f_key.py:1", "KeyError"),
    ]
    assert loaded.problems[0].message.startswith("odd; ")
    assert loaded.problems[1].message.startswith("no message; ")


def test_interrupt_goes_on(tmp_path: Path, write: Write) -> None:
    """Whoever presses Ctrl-C wants no list of problems."""
    write("a.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_repo(tmp_path)


def test_broken_file_that_others_import_is_one_problem(tmp_path: Path, write: Write) -> None:
    """Its importers fail for the same reason at the same line, which is said once."""
    write("ads/b_broken.py", "\n1 / 0\n")
    write("ads/a_user.py", "from ads.b_broken import x\n")
    write("ads/c_user.py", "import ads.b_broken\n")
    loaded = load_repo(tmp_path)
    assert [problem.where for problem in loaded.problems] == ["ads/b_broken.py:2"]


def test_name_that_another_module_has_is_a_problem(tmp_path: Path, write: Write) -> None:
    """A file that Python would never find is not skipped in silence."""
    write("json.py", USER)
    write("a.b.py", USER)
    loaded = load_repo(tmp_path)
    assert [problem.where for problem in loaded.problems] == ["a.b.py:1", "json.py:1"]
    assert "rename" in loaded.problems[1].message


def test_placement_arguments_warn_once(tmp_path: Path, write: Write) -> None:
    """What only places work is accepted with one warning (contract §1)."""
    write(
        "source.py",
        """
        from tecton import PushConfig, StreamSource
        s = StreamSource(name="s", schema=[], stream_config=PushConfig(), options={"a": "b"})
        """,
    )
    loaded = load_repo(tmp_path)
    assert len(loaded.warnings) == 1
    assert loaded.warnings[0].startswith("source.py:3: StreamSource s: `options` only places work")
