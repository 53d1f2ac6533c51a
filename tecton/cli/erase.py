"""
`tecton delete-keys`: what is known of join keys is erased.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from tecton.cli.progress import show_job
from tecton.cli.session import Session, workspace_option, yes_option
from tecton.erase import erase, keys_of
from tecton.errors import InvalidKeys, NotFound


@click.command("delete-keys")
@click.argument("name", metavar="FV")
@click.option("--key", "texts", multiple=True, metavar="JSON", help="Join keys, as a JSON object.")
@click.option("--file", metavar="FILE", help="A JSON list of such objects.")
@click.option("--online-only", is_flag=True, help="Leave offline and push tables as they are.")
@click.option("--offline-only", is_flag=True, help="Leave the online store as it is.")
@yes_option
@workspace_option
@click.pass_obj
def delete_keys(
    session: Session,
    name: str,
    texts: Sequence[str],
    file: str | None,
    online_only: bool,
    offline_only: bool,
    yes: bool,
    workspace: str | None,
) -> None:
    """Delete what is known of join keys of feature view FV; later pushes count again.

    Their values leave the online store and, for all views of the source with the same join keys,
    offline and push tables. Safe beside a running service; run it again if it was interrupted.
    """
    if online_only and offline_only:
        raise click.UsageError("--online-only and --offline-only exclude each other")
    state = session.workspace(workspace)
    view = state.view_by_name.get(name)
    if view is None:
        raise NotFound(f"workspace {state.name} has no feature view {name}")
    keys = keys_of(view, _given(session, texts, file))
    session.confirm(f"Delete {len(keys):,} join keys of {name}? This cannot be undone.", yes)
    backend = session.backend
    lines = erase(
        backend.erasures,
        lambda: backend.online,
        state,
        view,
        keys,
        not offline_only,
        not online_only,
        session.clock,
        lambda at: _wait_until(session, at),
        backend.push_tables,
    )
    show_job("delete-keys", lines, session.is_terminal)


def _given(session: Session, texts: Sequence[str], file: str | None) -> list[Any]:
    try:
        found = [json.loads(text) for text in texts]
        listed = [] if file is None else json.loads((session.folder / file).read_text("utf-8"))
    except ValueError as exc:
        raise InvalidKeys(f"the join keys are no JSON: {exc}") from None
    if not isinstance(listed, list):
        raise InvalidKeys(f"{file} must hold a JSON list of objects")
    return [*found, *listed]


def _wait_until(session: Session, at: datetime) -> None:
    remaining = (at - session.clock()).total_seconds()
    if remaining > 0:
        time.sleep(remaining)
