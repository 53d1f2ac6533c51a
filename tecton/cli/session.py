"""
What every command works with: the settings, the stores, the selected workspace, the clock.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from tecton.applied import WorkspaceState, new_id
from tecton.bootstrap import Backend
from tecton.errors import NotFound, SettingsError
from tecton.launching import Launching
from tecton.names import OBJECT_NAME_RULE, is_object_name
from tecton.settings import Settings, find_repo

SELECTED = ".tecton_workspace"
"""The file beside `.tecton` with the name of the selected workspace."""


@dataclass(frozen=True)
class Session:
    """One run of the command line.

    Args:
        environ: The environment.
        folder: The current folder.
        clock: Gives the time, UTC.
        is_terminal: Can a person be asked?
        ask: Asks a yes-or-no question.
        connect: Opens the stores; tests give their own.
        new_id: Gives the ids of what is created.
    """

    environ: Mapping[str, str]
    folder: Path
    clock: Callable[[], datetime]
    is_terminal: bool = False
    ask: Callable[[str], bool] = click.confirm
    connect: Callable[[Settings], Backend] = Backend
    new_id: Callable[[], str] = new_id

    @cached_property
    def root(self) -> Path:
        """The feature repo: the nearest folder upwards with `.tecton`, else the current one."""
        return find_repo(self.folder) or self.folder

    @cached_property
    def settings(self) -> Settings:
        """What the environment says."""
        return Settings.from_env(self.environ, self.folder)

    @cached_property
    def backend(self) -> Backend:
        """The stores."""
        return self.connect(self.settings)

    @cached_property
    def launching(self) -> Launching:
        """What starts jobs."""
        return Launching(self.backend, self.environ, self.clock)

    @property
    def user(self) -> str:
        """Who runs the command, for the history."""
        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            # Containers run under ids that no table knows.
            return self.environ.get("USER") or f"uid {os.getuid()}"

    def selected(self) -> str | None:
        """The name of the workspace that is used where no `-w` is given."""
        if self.settings.workspace:
            return self.settings.workspace
        file = self.root / SELECTED
        # A damaged file selects nothing, so that `select`, as the error says, puts it right.
        name = file.read_text("utf-8", "replace").strip() if file.is_file() else ""
        return name if is_object_name(name) else None

    def select(self, name: str | None) -> None:
        """Remember the selected workspace; None for none."""
        file = self.root / SELECTED
        if name is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(f"{name}\n", "utf-8")

    def workspace(self, name: str | None) -> WorkspaceState:
        """
        The newest version of a workspace.

        Args:
            name: What `-w` says; None for the selected one.

        Raises:
            NotFound: There is no such workspace.
            SettingsError: None is given or selected.
        """
        name = name or self.selected()
        if name is None:
            raise SettingsError(
                "no workspace is selected; run `tecton workspace select W` (or `create W`), give "
                "-w W, or set TECTON_WORKSPACE"
            )
        state = self.backend.registry.latest(name)
        if state is None or state.deleted:
            raise NotFound(f"there is no workspace {name}; `tecton workspace list` shows them")
        return state

    def versions(self, state: WorkspaceState) -> Iterator[WorkspaceState]:
        """Every version of a workspace up to *state*, newest first, each read when asked for."""
        yield state
        for number in range(state.version - 1, 0, -1):
            version = self.backend.registry.at(state.name, number)
            if version is not None:
                yield version

    def workspaces(self) -> list[WorkspaceState]:
        """The newest versions of all workspaces that are there, by name."""
        registry = self.backend.registry
        states = [registry.latest(name) for name in registry.workspaces()]
        return [state for state in states if state is not None and not state.deleted]

    def confirm(self, question: str, is_sure: bool) -> None:
        """
        Ask before something is changed.

        Args:
            question: What is asked.
            is_sure: `-y` was given, so nobody is asked.

        Raises:
            click.ClickException: Nobody can be asked, or the answer is no.
        """
        if is_sure:
            return
        if not self.is_terminal:
            raise click.ClickException(
                "this command asks before it changes anything, and nobody is at a terminal; add "
                "-y to go on without asking"
            )
        if not self.ask(question):
            raise click.ClickException("not confirmed; nothing was changed")


def checked_name(name: str) -> str:
    """
    A name for a new workspace.

    Raises:
        click.ClickException: It could not be a path or a key.
    """
    if not is_object_name(name):
        raise click.ClickException(f"{name!r} cannot be a workspace's name: {OBJECT_NAME_RULE}")
    return name


def write_json(file: str, value: Any) -> None:
    """Write what `--json-out` asks for."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    Path(file).write_text(f"{text}\n", "utf-8")


workspace_option = click.option(
    "-w", "--workspace", metavar="W", help="The workspace; default: the selected one."
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
