"""A command line for tests: real files, a clock that stands, jobs that are only recorded."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tecton.bootstrap import Backend
from tecton.cli.main import run
from tecton.cli.session import Session
from tecton.errors import JobFailed, SourceError
from tecton.journal import Counts, Journal
from tecton.settings import Settings
from tecton.stores import Job, Run
from tecton.testing import FixedClock, RecordingLauncher

DEFINITIONS = """
from datetime import datetime, timedelta
from tecton import Entity, FeatureService, PushConfig, StreamFeatureView, StreamSource
from tecton.types import Field, Int64, String, Timestamp

user = Entity(name="user", join_keys=["user_id"])
impressions = StreamSource(
    name="impressions",
    schema=[Field("user_id", String), Field("timestamp", Timestamp), Field("clicked", Int64)],
    stream_config=PushConfig(),
)
clicks = StreamFeatureView(
    name="clicks",
    source=impressions,
    entities=[user],
    online=True,
    offline=True,
    feature_start_time=datetime(2022, 1, 1),
    ttl=timedelta(days=7),
    description="The count of ad clicks for a user",
)
svc = FeatureService(name="svc", features=[clicks])
"""


class Result(NamedTuple):
    """What one command answered."""

    code: int
    out: str
    err: str


@dataclass
class Cli:
    """Runs commands in one feature repo.

    Args:
        folder: The current folder.
        capsys: Pytest's.
        environ: The environment.
        clock: What the commands take for now.
        launcher: What the commands give their jobs to.
        answer: What a person answers; None: nobody is at a terminal.
        asked: The questions that were asked.
    """

    folder: Path
    capsys: pytest.CaptureFixture[str]
    environ: dict[str, str] = field(default_factory=dict)
    clock: FixedClock = field(default_factory=FixedClock)
    launcher: RecordingLauncher = field(default_factory=RecordingLauncher)
    answer: bool | None = None
    asked: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str) -> Result:
        """Run `tecton` with these arguments."""
        self.capsys.readouterr()
        code = run(arguments, self.session())
        out, err = self.capsys.readouterr()
        return Result(code, out, err)

    def ok(self, *arguments: str) -> str:
        """Run a command that must succeed; what it printed."""
        result = self(*arguments)
        assert (result.code, result.err) == (0, ""), result
        return result.out

    def fails(self, *arguments: str) -> str:
        """Run a command that must fail with one line on stderr; that line."""
        result = self(*arguments)
        assert result.code != 0, result
        assert result.err.count("\n") == 1, result
        assert result.err.startswith("error: "), result
        return result.err.removeprefix("error: ").strip()

    def session(self) -> Session:
        """What the next command works with."""
        return Session(
            environ=self.environ,
            folder=self.folder,
            clock=self.clock,
            is_terminal=self.answer is not None,
            ask=self._ask,
            connect=self._connect,
        )

    @property
    def backend(self) -> Backend:
        """The stores, opened anew."""
        return self._connect(Settings.from_env(self.environ, self.folder))

    def _connect(self, settings: Settings) -> Backend:
        backend = Backend(settings)
        # Where `cached_property` looks first.
        backend.__dict__["launcher"] = self.launcher
        return backend

    def _ask(self, question: str) -> bool:
        self.asked.append(question)
        return bool(self.answer)

    def write(self, name: str, source: str) -> None:
        """Write a file of the repo."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))

    def change(self, name: str, replaced: Mapping[str, str]) -> None:
        """Replace texts in a file of the repo."""
        text = (self.folder / name).read_text()
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        (self.folder / name).write_text(text)

    def files(self) -> dict[str, bytes]:
        """Every file of the store."""
        store = self.folder / ".tecton_store"
        return {
            str(path.relative_to(store)): path.read_bytes()
            for path in sorted(store.rglob("*"))
            if path.is_file()
        }

    def service_account(self) -> dict[str, Any]:
        """Create a service account."""
        created: dict[str, Any] = json.loads(
            self.ok("service-account", "create", "-n", "svc", "--json-out")
        )
        return created


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """A feature repo with the example's definitions and no workspace."""
    line = Cli(tmp_path, capsys)
    line.ok("init")
    line.write("definitions.py", DEFINITIONS)
    return line


def jobs_of(launcher: RecordingLauncher) -> Sequence[tuple[str, Sequence[str]]]:
    """The scripts and arguments of the jobs that were run."""
    return [(job.script, list(job.arguments)) for job in launcher.jobs]


def scripts_of(launcher: RecordingLauncher) -> Sequence[tuple[str, str]]:
    """The scripts of the jobs that were run, and the workspaces they were for."""
    return [(job.script, job.arguments[1]) for job in launcher.jobs]


def runs_of(line: Cli, workspace: str = "prod") -> list[tuple[str, str, int, str]]:
    """All attempts of a workspace: view, kind, number and state."""
    state = line.backend.registry.latest(workspace)
    assert state is not None
    attempts = line.backend.runs.attempts(state.folder)
    return [(run.view, run.kind, run.attempt, run.state) for run in attempts]


class DoingLauncher(RecordingLauncher):
    """Says of all that was announced that it is done, or failed, as a job would.

    Args:
        line: Whose stores are used.
        reason: If given, why each attempt fails.
    """

    def __init__(self, line: Cli, reason: str | None = None) -> None:
        super().__init__()
        self._line = line
        self._reason = reason

    def run(self, job: Job, environ: Mapping[str, str]) -> Iterator[str]:
        """Carry out what was announced."""
        yield from super().run(job, environ)
        name, owner = job.arguments[1], job.arguments[3]
        backend = self._line.backend
        state = backend.registry.latest(name)
        assert state is not None
        journal = Journal(backend.runs, backend.claims, self._line.clock, owner, "me", "a.log")
        failed = [self._fails(journal, run) for run in journal.adopt(state.folder)]
        if any(failed):
            raise JobFailed(str(self._reason))

    def _fails(self, journal: Journal, run: Run) -> bool:
        try:
            with journal.carry_out(run) as work:
                if self._reason is not None:
                    raise SourceError(self._reason)
                work.done(run, "did it", Counts(rows_in=3, rows_out=2, collapsed=1))
        except SourceError:
            return True
        return False
