"""`tecton init | plan | apply | destroy | log | restore`, on real files (contract §2)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tecton.cli.main import run
from tecton.stores import RUNNING
from tecton.testing import RecordingLauncher
from tests.cli_fixtures import DEFINITIONS, Cli, cli, runs_of, scripts_of

__all__ = ["cli"]

LATEST = "datetime(9999, 12, 31, 23, tzinfo=__import__('datetime').timezone(-timedelta(hours=14)))"
BATCH = "__import__('tecton').FileConfig(uri='file://[x', file_format='parquet')"
NOTHING = "🎉 The remote and local state are the same, nothing to do!"


@pytest.fixture
def live(cli: Cli) -> Cli:
    """The repo with a live workspace `prod`, empty yet."""
    cli.ok("workspace", "create", "prod", "--live")
    return cli


def test_init_marks_a_repo_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`init` writes `.tecton` and what git shall ignore; again it changes nothing."""
    (tmp_path / ".gitignore").write_text("*.pyc")
    line = Cli(tmp_path, capsys)
    line.ok("init")
    line.ok("init")
    assert (tmp_path / ".tecton").is_file()
    ignored = (tmp_path / ".gitignore").read_text()
    assert ignored == "*.pyc\n.tecton_store/\n.tecton_workspace\n"


def test_init_keeps_what_git_ignores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte: git takes other encodings and line ends than ours."""
    (tmp_path / ".gitignore").write_bytes(b"men\xfc/\r\n.tecton_workspace\r\n*.pyc")
    Cli(tmp_path, capsys).ok("init")
    assert (tmp_path / ".gitignore").read_bytes() == (
        b"men\xfc/\r\n.tecton_workspace\r\n*.pyc\n.tecton_store/\n"
    )


def test_init_inside_a_repo_is_refused(cli: Cli) -> None:
    """A repo in a repo would be two stores."""
    inner = Cli(cli.folder / "ads", cli.capsys)
    inner.folder.mkdir()
    assert f"inside the feature repo {cli.folder}" in inner.fails("init")


def test_plan_shows_everything_and_changes_nothing(live: Cli) -> None:
    """What was read, each change with kind and name, and the jobs that applying starts."""
    before = live.files()
    out = live.ok("plan")
    assert "Imported 1 Python module from the feature repository" in out
    assert "Plan Start" in out
    for text in (
        "  + Create Entity\n    name:            user\n",
        "  + Create Stream Data Source\n    name:            impressions\n",
        "  + Create Stream Feature View\n    name:            clicks\n"
        "    description:     The count of ad clicks for a user\n"
        "    materialization: 1 backfill, 1 recurring batch job\n"
        "    > backfill:      1 Backfill job of pushed records writing to both the Online and "
        "Offline Store\n"
        "    > incremental:   1 Recurring Batch job scheduled every 1 day writing to both the "
        "Online and Offline Store\n",
        "  + Create Feature Service\n    name:            svc\n",
    ):
        assert text in out
    assert live.files() == before
    assert live.launcher.jobs == []


def test_apply_commits_and_runs_one_backfill(live: Cli) -> None:
    """One atomic commit, then one job for all views, whose lines are shown."""
    live.launcher = RecordingLauncher(["clicks: 3 rows"])
    live.change(
        "definitions.py",
        {
            "svc =": 'b = StreamFeatureView(name="b", source=impressions, '
            "entities=[user], online=True, feature_start_time=datetime(2022, 1, 1))\nsvc ="
        },
    )
    out = live.ok("apply", "-y")
    assert 'Applied version 2 of workspace "prod".' in out
    assert "clicks: 3 rows\n" in out
    assert [("backfill", "prod")] == scripts_of(live.launcher)
    assert {("b", "backfill"), ("clicks", "backfill")} == {run[:2] for run in runs_of(live)}
    assert live.launcher.environ == {"TECTON_STORE": str(live.folder / ".tecton_store")}
    assert live.ok("apply", "-y").splitlines()[-1] == NOTHING
    assert live.ok("plan").splitlines()[-1] == NOTHING
    assert len(live.launcher.jobs) == 1


def test_apply_asks(live: Cli) -> None:
    """A person decides; without one `-y` is needed."""
    before = live.files()
    assert "add -y" in live.fails("apply")
    live.answer = False
    assert "nothing was changed" in live.fails("apply")
    assert live.asked == ['Apply this plan to workspace "prod"?']
    assert live.files() == before
    live.answer = True
    assert live("apply").code == 0
    assert live.ok("plan").endswith(f"{NOTHING}\n")


def test_apply_no_wait_leaves_the_backfill_to_itself(live: Cli) -> None:
    """`--no-wait` returns at once."""
    assert "under way" in live.ok("apply", "-y", "--no-wait")
    assert live.launcher.jobs == []
    [job] = live.launcher.started
    assert ("backfill", ["--workspace", "prod", "--owner"]) == (job.script, job.arguments[:3])
    assert [("clicks", "backfill", 1, RUNNING)] == runs_of(live)


def test_failed_backfill_leaves_the_version_applied(live: Cli) -> None:
    """The error says that it is, and how to go on."""
    live.launcher = RecordingLauncher(failure="no such file: x")
    message = live.fails("apply", "-y")
    assert "version 2 is applied, but its backfill failed: no such file: x" in message
    assert "tecton materialize run-due -w prod" in message
    assert live.ok("plan").endswith(f"{NOTHING}\n")


def test_development_workspace_starts_no_job(cli: Cli) -> None:
    """It plans, but does not materialise."""
    cli.ok("workspace", "create", "dev")
    out = cli.ok("apply", "-y")
    assert "A development workspace does not materialise" in out
    assert "backfill:" not in out
    assert cli.launcher.jobs == []


def test_somebody_who_applied_in_between(live: Cli) -> None:
    """A clear error, and nothing is changed."""
    live.answer = True
    other = Cli(live.folder, live.capsys)

    def apply_first(question: str) -> bool:
        other.ok("apply", "-y")
        return True

    assert run(["apply"], replace(live.session(), ask=apply_first)) == 1
    error = live.capsys.readouterr().err
    assert "somebody else changed workspace prod in between" in error
    assert "nothing was changed" in error
    assert live.launcher.jobs == []
    assert sorted(name for name in live.files() if name.startswith("registry")) == [
        "registry/prod/000000001.json",
        "registry/prod/000000002.json",
    ]


def test_every_problem_is_listed(live: Cli) -> None:
    """Wrong definitions are reported at once, each with file, object and field."""
    live.change(
        "definitions.py", {"timedelta(days=7)": "timedelta(0)", '"user_id", String': '"u", str'}
    )
    live.write("ads/broken.py", "import nothing_of_that_name\n")
    before = live.files()
    for command in (["plan"], ["apply", "-y"]):
        result = live(*command)
        assert result.code == 1
        lines = result.err.splitlines()
        assert lines[0] == "error: 3 problems in the feature repo, nothing was changed:"
        places = [line.split(": ")[:3] for line in lines[1:]]
        assert places == [
            ["  ads/broken.py:1", "file ads/broken.py", "ModuleNotFoundError"],
            ["  definitions.py:7", "StreamSource impressions", "schema.u"],
            ["  definitions.py:12", "StreamFeatureView clicks", "ttl"],
        ]
    assert live.files() == before


def test_changed_view_is_recreated_and_changed_text_is_not(live: Cli) -> None:
    """`~ Recreate` computes anew, `~ Update` does not."""
    live.ok("apply", "-y")
    live.change("definitions.py", {"The count": "A count"})
    out = live.ok("apply", "-y")
    assert "  ~ Update Stream Feature View\n    name:            clicks\n" in out
    assert "description: The count of ad clicks for a user → A count of ad clicks" in out
    assert len(live.launcher.jobs) == 1
    more = 'Field("clicked", Int64), Field("more", Int64)'
    live.change("definitions.py", {'Field("clicked", Int64)': more})
    out = live.ok("apply", "-y")
    assert "  ~ Recreate Stream Feature View\n" in out
    assert len(live.launcher.jobs) == 2


def test_json_out(live: Cli) -> None:
    """`--json-out FILE` on plan and apply."""
    file = live.folder / "plan.json"
    live.ok("plan", "--json-out", str(file))
    plan = json.loads(file.read_text())
    assert (plan["workspace"], plan["live"], plan["version"]) == ("prod", True, 2)
    assert [(one["action"], one["kind"], one["name"]) for one in plan["changes"]] == [
        ("create", "Entity", "user"),
        ("create", "StreamSource", "impressions"),
        ("create", "StreamFeatureView", "clicks"),
        ("create", "FeatureService", "svc"),
    ]
    assert plan["backfills"] == [
        {
            "view": "clicks",
            "start": None,
            "end": None,
            "stores": ["online", "offline"],
            "jobs": 1,
        }
    ]
    live.ok("apply", "-y", "--json-out", str(file))
    live.ok("apply", "-y", "--json-out", str(file))
    assert json.loads(file.read_text())["changes"] == []
    assert "No such file" in live.fails("plan", "--json-out", str(live.folder / "no" / "x.json"))


def test_destroy_empties_the_workspace(live: Cli) -> None:
    """Every object goes; what is protected stays."""
    live.ok("apply", "-y")
    live.change("definitions.py", {"ttl=": "prevent_destroy=True, ttl="})
    live.ok("apply", "-y")
    refused = live("destroy", "-y")
    assert refused.code == 1
    assert "prevent_destroy: the plan would delete it" in refused.err
    live.change("definitions.py", {"prevent_destroy=True, ": ""})
    live.ok("apply", "-y")
    out = live.ok("destroy", "-y")
    assert "  - Delete Stream Feature View\n    name:            clicks\n" in out
    assert live.ok("destroy", "-y") == f"{NOTHING}\n"
    assert len(live.launcher.jobs) == 1


def test_log_and_restore(live: Cli) -> None:
    """An older version comes back as a new one; what is the same keeps its generation."""
    live.ok("apply", "-y")
    registry = live.backend.registry
    first = registry.latest("prod")
    live.clock.advance(timedelta(hours=1))
    live.change("definitions.py", {"timedelta(days=7)": "timedelta(days=8)"})
    live.ok("apply", "-y")
    live.ok("destroy", "-y")
    out = live.ok("restore", "2", "-y")
    assert "+ Create Stream Feature View" in out
    restored = registry.latest("prod")
    assert first is not None
    assert restored is not None
    assert restored.version == 5
    assert restored.view_by_name["clicks"].ttl == timedelta(days=7)
    assert restored.view_by_name["clicks"].id != first.view_by_name["clicks"].id
    assert live.ok("restore", "2", "-y") == f"{NOTHING}\n"
    lines = live.ok("log").splitlines()
    assert [line.split()[1] for line in lines] == ["5", "4", "3", "2", "1"]
    assert lines[0].endswith("(restored version 2)")
    assert "2023-01-03T13:00:00Z" in lines[0]
    assert len(live.ok("log", "--limit", "2").splitlines()) == 2
    assert "no version 9" in live.fails("restore", "9", "-y")


def test_deleted_version_is_not_restored(live: Cli) -> None:
    """It holds nothing; the error names the versions that can come back."""
    live.ok("apply", "-y")
    live.ok("workspace", "delete", "prod", "-y")
    live.ok("workspace", "create", "prod", "--live")
    live.ok("apply", "-y")
    before = live.files()
    message = live.fails("restore", "3", "-y")
    assert message == (
        "version 3 is the deletion of workspace prod, there is nothing in it to restore; these "
        "versions can be restored: 4, 2, 1"
    )
    assert live.files() == before
    assert live.ok("restore", "2", "-y") == f"{NOTHING}\n"


def test_error_names_the_newest_versions_only(live: Cli) -> None:
    """After years there are many."""
    live.ok("workspace", "delete", "prod", "-y")
    live.ok("workspace", "create", "prod")
    for number in range(12):
        live.write("definitions.py", f"from tecton import Entity\ne = Entity(name='e{number}')\n")
        live.ok("apply", "-y")
    assert live.fails("restore", "2").endswith(
        "can be restored: 14, 13, 12, 11, 10, 9, 8, 7, 6, 5 and older ones"
    )


def test_commands_work_below_the_root(live: Cli) -> None:
    """The feature repo is the nearest folder upwards with `.tecton`."""
    below = Cli(live.folder / "ads" / "deep", live.capsys)
    below.folder.mkdir(parents=True)
    assert "name:            clicks" in below.ok("plan")


def test_without_a_repo_the_store_must_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the variable; with it the current folder is the repo."""
    line = Cli(tmp_path / "repo", capsys)
    line.write("definitions.py", DEFINITIONS)
    assert "TECTON_STORE" in line.fails("plan")
    line.environ["TECTON_STORE"] = str(tmp_path / "store")
    line.ok("workspace", "create", "prod")
    line.ok("apply", "-y")
    assert (tmp_path / "store/registry/prod/000000002.json").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["plan", "--nonsense"],
        ["restore"],
        ["restore", "x"],
        ["restore", "9" * 30],
        ["log", "--limit", "9" * 30],
        ["workspace", "create"],
        ["plan", "-w", "missing"],
        ["plan", "-w", "../x"],
        ["workspace", "select", "missing"],
        ["materialize", "run-due", "--at", "yesterday"],
        ["materialize", "run-due", "--at", "2023-01-02T00:00:00"],
        ["access-control", "assign-role", "-r", "king", "-s", "x"],
        ["service-account", "delete", "missing"],
    ],
)
def test_wrong_use_is_one_line(live: Cli, arguments: list[str]) -> None:
    """Non-zero with one line on stderr that says what to do."""
    before = live.files()
    live.fails(*arguments)
    assert live.files() == before


def test_group_without_a_command_shows_its_help(cli: Cli) -> None:
    """Whoever types `tecton` sees what there is."""
    for arguments in ([], ["workspace"]):
        result = cli(*arguments)
        assert "Commands:" in result.out
        assert result.err == ""


def test_version_and_whoami(live: Cli) -> None:
    """Who works on what, with which software."""
    assert live.ok("version").startswith("Version: ")
    out = live.ok("whoami")
    assert "acts as admin" in out
    assert f"Store: {live.folder}/.tecton_store\n" in out
    assert "Workspace: prod\n" in out


def test_selection_that_is_no_name_selects_nothing(live: Cli) -> None:
    """A damaged `.tecton_workspace` is put right by the command that the error names."""
    for damaged in (b"\xff\xfe", b"a\nb\n", b"../x", b""):
        (live.folder / ".tecton_workspace").write_bytes(damaged)
        assert "Workspace: none selected\n" in live.ok("whoami")
        assert "  prod\n" in live.ok("workspace", "list")
        assert "tecton workspace select W" in live.fails("plan")
    live.ok("workspace", "select", "prod")
    assert "Workspace: prod\n" in live.ok("whoami")


@pytest.mark.parametrize(
    "changes",
    [
        {"TECTON_FUTURE_TOLERANCE": "99999999999999999"},
        {"TECTON_WRITER": "99999999999999999999999"},
        {"TECTON_WRITER": "9" * 5000},
        {"TECTON_REDIS_URL": "garbage"},
        {"TECTON_STORE": "s3:/bucket"},
        {"TECTON_STORE": "\udcff"},
        {"TECTON_URL": "ftp://h"},
    ],
)
def test_wrong_setting_is_one_line(live: Cli, changes: dict[str, str]) -> None:
    """Every command that needs the settings names the variable."""
    live.environ.update(changes)
    (variable,) = changes
    for command in (["plan"], ["whoami"], ["redis", "stop"]):
        assert live.fails(*command).startswith(variable)


@pytest.mark.parametrize(
    ("replaced", "by", "field"),
    [
        ("datetime(2022, 1, 1)", LATEST, "feature_start_time"),
        ('"The count', r'"\ud800', "description"),
        ("online=True", "online=False", "features"),
        ("PushConfig()", f"PushConfig(), batch_config={BATCH}", "batch_config.uri"),
        ("\nuser =", "\nraise GeneratorExit('x')\nuser =", "GeneratorExit"),
    ],
)
def test_wrong_value_is_a_problem(live: Cli, replaced: str, by: str, field: str) -> None:
    """Never a traceback, and never a version that cannot be served."""
    live.change("definitions.py", {replaced: by})
    result = live("apply", "-y")
    assert result.code == 1
    assert f": {field}: " in result.err
    assert live.launcher.jobs == []


# The embedded Redis


def test_other_redis_is_not_ours_to_stop(live: Cli) -> None:
    """`redis stop` ends the embedded server alone."""
    live.environ["TECTON_REDIS_URL"] = "redis://:secret@elsewhere"
    message = live.fails("redis", "stop")
    assert "not ours to stop" in message
    assert "secret" not in message
    del live.environ["TECTON_REDIS_URL"]
    assert live.ok("redis", "stop") == "No embedded Redis was running.\n"
