"""
What the documents say is there: targets, links, records, settings and commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tecton.aggregates import ALIASES, NAMED_FUNCTIONS, PARAMETERS
from tecton.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = ROOT / "docs" / "decisions"


def names(paths: list[Path]) -> list[str]:
    """How parametrised tests call the documents."""
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_make_target_exists(document: Path) -> None:
    """Whoever types what a document says gets what it says."""
    mentioned = re.findall(r"(?:`|^)make ([a-z][a-z0-9-]*)", text(document), re.M)
    assert set(mentioned) - set(targets()) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_link_inside_the_project_resolves(document: Path) -> None:
    """No document points to a file that is not there."""
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text(document))
    inside = [link for link in links if "://" not in link]
    assert [link for link in inside if not (document.parent / link).exists()] == []


def test_every_target_is_explained() -> None:
    """`make` alone lists all that people type."""
    listed = set(re.findall(r"^([a-z0-9-]+):.*## ", text(ROOT / "Makefile"), re.M))
    assert set(targets()) - listed == {"java"}


def test_every_decision_is_listed() -> None:
    """The index of decisions names each record, in order, with its title."""
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    expected = [f"- [{title_of(record)}]({record.name})" for record in records]
    index = text(DECISIONS / "README.md")
    assert expected == [line for line in index.splitlines() if line.startswith("- ")]


def test_decisions_have_numbers_of_their_own() -> None:
    """Two records that are written at once do not share a number."""
    numbers = [record.name[:4] for record in DECISIONS.glob("[0-9]*.md")]
    assert sorted(set(numbers)) == sorted(numbers)


def test_every_setting_is_in_the_readme() -> None:
    """The table of settings has each variable that `Settings` reads."""
    read = set(re.findall(r"`(TECTON_[A-Z_]+)`", text(ROOT / "tecton" / "settings.py")))
    table = set(re.findall(r"^\| `(TECTON_[A-Z_]+)`", text(ROOT / "README.md"), re.M))
    assert read == table


def test_every_command_is_documented() -> None:
    """`docs/cli.md` has a heading for each command of `tecton`."""
    headings = re.findall(r"^#+ `?(tecton[^`\n]*)`?$", text(ROOT / "docs" / "cli.md"), re.M)
    documented = {re.split(r" [\[A-Z-]", heading)[0] for heading in headings}
    assert set(commands(cli, "tecton")) - documented == set()


def test_every_aggregation_function_is_documented() -> None:
    """docs/aggregations.md has a row for each function, and the other names."""
    text = (ROOT / "docs/aggregations.md").read_text("utf-8")
    told = set(re.findall(r"`(\w+)(?:\(.*?\))?`", text))
    assert {*NAMED_FUNCTIONS, *PARAMETERS, *ALIASES} <= told


@pytest.mark.parametrize("document", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_test_that_is_named_exists(document: Path) -> None:
    """What a document says is held by a test, is."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text(document))
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^def {name}\(", text(ROOT / path), re.M)
    ]
    assert missing == []


def test_every_risk_names_its_tests() -> None:
    """`docs/security.md` has all ten risks, each with a test."""
    sections = text(ROOT / "docs" / "security.md").split("\n### API")[1:]
    assert [section.split()[0] for section in sections] == [str(n) for n in range(1, 11)]
    assert [section for section in sections if "`tests/" not in section] == []


def commands(command: click.Command, path: str) -> Iterator[str]:
    """The full names of all commands that do something."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")
    else:
        yield path


def text(path: Path) -> str:
    """What is written in a file."""
    return path.read_text("utf-8")


def targets() -> list[str]:
    """The Makefile's phony targets."""
    phony = re.search(r"^\.PHONY: (.*)$", text(ROOT / "Makefile"), re.M)
    return phony.group(1).split() if phony else []


def title_of(record: Path) -> str:
    """The first line of a record, without the mark-up."""
    return text(record).splitlines()[0].removeprefix("# ").replace(".", "", 1)
