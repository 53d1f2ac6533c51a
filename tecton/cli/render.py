"""
Plans and tables as the command line prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from tecton.plan import Action, Backfill, Change, Incremental, Plan, spell_duration
from tecton.timestamps import format_micros, micros_of

NOTHING_TO_DO = "🎉 The remote and local state are the same, nothing to do!"

_KINDS = {
    "Entity": "Entity",
    "StreamSource": "Stream Data Source",
    "StreamFeatureView": "Stream Feature View",
    "FeatureService": "Feature Service",
}
_START = "↓↓↓↓↓↓↓↓↓↓↓↓ Plan Start ↓↓↓↓↓↓↓↓↓↓↓↓"
_END = "↑↑↑↑↑↑↑↑↑↑↑↑ Plan End ↑↑↑↑↑↑↑↑↑↑↑↑"


def render_plan(plan: Plan) -> Iterator[str]:
    """The lines that show a plan."""
    if plan.is_empty:
        yield NOTHING_TO_DO
        return
    incrementals = {incremental.view: incremental for incremental in plan.incrementals}
    yield f" {_START}"
    for change in plan.changes:
        yield ""
        yield from _change(change)
        backfills = [one for one in plan.backfills if one.view == change.name]
        if change.kind == "StreamFeatureView" and backfills:
            yield from _jobs(backfills, incrementals.get(change.name))
    yield ""
    yield f" {_END}"
    if not plan.state.live:
        yield " A development workspace does not materialise: no job is started."


def _change(change: Change) -> Iterator[str]:
    yield f"  {change.action.value} {_KINDS[change.kind]}"
    yield f"    name:            {printable(change.name)}"
    if change.description and change.action is not Action.DELETE:
        yield f"    description:     {printable(change.description)}"
    for detail in change.details:
        yield from (f"    {printable(line)}" for line in detail.split("\n"))


def _jobs(backfills: Sequence[Backfill], incremental: Incremental | None) -> Iterator[str]:
    count = render_count(sum(backfill.jobs for backfill in backfills), "backfill")
    recurring = "" if incremental is None else ", 1 recurring batch job"
    yield f"    materialization: {count}{recurring}"
    label = "> backfill:"
    for backfill in backfills:
        jobs = render_count(backfill.jobs, "Backfill job")
        yield f"    {label:16} {jobs} {_period(backfill)} {_target(backfill.stores)}"
        label = ""
    if incremental is not None:
        every = spell_duration(incremental.every)
        target = _target(incremental.stores)
        yield f"    > incremental:   1 Recurring Batch job scheduled every {every} {target}"


def _period(backfill: Backfill) -> str:
    if backfill.period is None:
        return "of pushed records"
    return f"from {_minute(backfill.period.start)} to {_minute(backfill.period.end)}"


def _target(stores: Sequence[str]) -> str:
    if len(stores) > 1:
        return "writing to both the Online and Offline Store"
    return f"writing to the {stores[0].capitalize()} Store"


def _minute(at: datetime) -> str:
    return f"{at.replace(tzinfo=None)} UTC"


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan as `--json-out` writes it."""
    state = plan.state
    return {
        "workspace": state.name,
        "live": state.live,
        "version": state.version - 1 if plan.is_empty else state.version,
        "changes": [
            {
                "action": change.action.name.lower(),
                "kind": change.kind,
                "name": change.name,
                "description": change.description,
                "details": list(change.details),
            }
            for change in plan.changes
        ],
        "backfills": [
            {
                "view": backfill.view,
                "start": _instant(backfill.period.start) if backfill.period else None,
                "end": _instant(backfill.period.end) if backfill.period else None,
                "stores": list(backfill.stores),
                "jobs": backfill.jobs,
            }
            for backfill in plan.backfills
        ],
        "incrementals": [
            {
                "view": incremental.view,
                "every_seconds": incremental.every.total_seconds(),
                "stores": list(incremental.stores),
            }
            for incremental in plan.incrementals
        ],
    }


def _instant(at: datetime) -> str:
    return format_micros(micros_of(at))


def render_count(number: int, noun: str, plural: str = "") -> str:
    """A number of things, as `1 entity` and `2 entities`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def printable(text: str) -> str:
    """A text that keeps to its line and its terminal: line ends and escapes are spelled out."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table with aligned columns."""
    table = [header, *([printable(text) for text in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        yield "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def render_time(at: datetime) -> str:
    """An instant to the second, as lists show it."""
    return _instant(at)[:19] + "Z"
