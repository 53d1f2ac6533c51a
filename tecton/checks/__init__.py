"""
The rules that definitions keep (contract §1). Every broken one is reported, at once.

A rule yields findings: the argument concerned, and a message that says what was seen, what was
expected and what to do. Definitions take any value, so a rule first makes sure of what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tecton.checks.entities import check_entity
from tecton.checks.findings import (
    Finding,
    Findings,
    expected,
    is_a,
    is_text,
    is_text_mapping,
    is_utf8,
    no_text,
)
from tecton.checks.services import check_service
from tecton.checks.sources import check_source
from tecton.checks.views import check_view
from tecton.definitions import (
    BatchSource,
    Definition,
    Entity,
    FeatureService,
    StreamFeatureView,
    StreamSource,
)
from tecton.errors import Problem
from tecton.names import OBJECT_NAME_RULE, is_object_name
from tecton.resolve import place_of, with_referenced
from tecton.types import show


def check(
    definitions: Sequence[Definition],
    root: Path,
    batch_roots: Sequence[str] = (),
    are_functions_on: bool = True,
) -> list[Problem]:
    """
    Find everything that is wrong in a feature repo.

    Args:
        definitions: The objects at module level; those that they refer to are checked too.
        root: The repo's folder, where relative paths start.
        batch_roots: Where batch data must be; none: anywhere.
        are_functions_on: May views have functions?

    Returns:
        The problems, in the order of files and lines; none if the repo can be applied.
    """
    found = []
    objects = with_referenced(definitions)
    for definition in objects:
        what = f"{type(definition).__name__} {_shown_name(definition)}"
        where = place_of(definition, root)
        findings = _findings(definition, root, batch_roots, are_functions_on)
        found += [Problem(where, what, *finding) for finding in findings]
    found.extend(_same_names(objects, root))
    return sorted(dict.fromkeys(found), key=_place_order)


def _place_order(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.where.rpartition(":")
    return file, int(line) if line.isdigit() else 0


def _shown_name(definition: Definition) -> str:
    return definition.name if is_object_name(definition.name) else show(definition.name)


def _findings(
    definition: Definition, root: Path, batch_roots: Sequence[str], are_functions_on: bool
) -> Findings:
    yield from _described(definition)
    if isinstance(definition, Entity):
        yield from check_entity(definition)
    elif isinstance(definition, StreamSource):
        yield from check_source(definition, root, batch_roots, are_functions_on)
    elif isinstance(definition, StreamFeatureView):
        yield from check_view(definition, root, are_functions_on)
    elif isinstance(definition, FeatureService):
        yield from check_service(definition)
    elif isinstance(definition, BatchSource):
        yield Finding(
            "batch_config",
            "a BatchSource cannot be applied yet; give its FileConfig to the `batch_config` of a "
            "StreamSource",
        )


def _same_names(objects: Sequence[Definition], root: Path) -> Iterator[Problem]:
    first: dict[tuple[type, str], Definition] = {}
    for definition in objects:
        if not isinstance(definition.name, str):
            continue
        kind = type(definition).__name__
        other = first.setdefault((type(definition), definition.name.casefold()), definition)
        if other is not definition:
            yield Problem(
                place_of(definition, root),
                f"{kind} {_shown_name(definition)}",
                "name",
                f"{place_of(other, root)} has a {kind} of this name (names that differ only in "
                "case count as one); rename one of them",
            )


def _described(definition: Definition) -> Findings:
    if not is_object_name(definition.name):
        yield expected("name", OBJECT_NAME_RULE, definition.name)
    for field in ("description", "owner"):
        yield from is_text(definition, field)
    yield from is_a(definition, "prevent_destroy", bool, "True or False")
    yield from _tags(definition.tags)


def _tags(tags: object) -> Findings:
    if tags is None:
        return
    if not is_text_mapping(tags):
        yield expected("tags", "a dict of strings by string", tags)
        return
    for text in (text for item in tags.items() for text in item):
        if not is_utf8(text):
            yield no_text("tags", text)
