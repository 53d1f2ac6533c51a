"""The local launcher with real processes, and the command as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tecton.adapters.launchers.local import LocalLauncher
from tecton.errors import JobFailed
from tecton.stores import Job
from tests.cli_fixtures import DEFINITIONS

ROOT = Path(__file__).resolve().parents[2]


class PythonLauncher(LocalLauncher):
    """Runs the first argument as Python code instead of a script on Spark."""

    def command(self, job: Job) -> Sequence[str]:
        """The command line."""
        return [sys.executable, "-c", *job.arguments]


LAUNCHER = PythonLauncher("1g")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Settings with a local store."""
    return {"TECTON_STORE": str(tmp_path / "store")}


def logs(environ: dict[str, str]) -> list[Path]:
    """The logs in the store."""
    return sorted(Path(environ["TECTON_STORE"], "logs").glob("*.log"))


def is_alive(process: int) -> bool:
    """Does a process run (not only wait to be collected)?"""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_lines_come_as_they_are_printed(environ: dict[str, str]) -> None:
    """Progress is shown while the job runs; settings and arguments reach it."""
    code = (
        "import os, sys; print('one'); sys.stderr.write('noise\\n'); input() if 0 else None;"
        "print(os.environ['TECTON_STORE'], sys.argv[1])"
    )
    lines = LAUNCHER.run(Job("backfill", [code, "x y"]), environ)
    assert next(lines) == "one"
    assert list(lines) == [f"{environ['TECTON_STORE']} x y"]
    (log,) = logs(environ)
    assert log.name.startswith("backfill-")
    assert set(log.read_text().splitlines()) >= {"one", "noise"}


def test_failure_says_the_jobs_error_and_the_log(environ: dict[str, str]) -> None:
    """The message is the line that the job printed for it, not what Spark printed after."""
    code = (
        "import sys; print('x'); sys.stderr.write('WARN a\\nerror: no file y\\nWARN b\\n');"
        "sys.exit(1)"
    )
    lines = LAUNCHER.run(Job("backfill", [code]), environ)
    assert next(lines) == "x"
    with pytest.raises(JobFailed) as info:
        next(lines)
    assert str(info.value) == f"no file y (the log: {logs(environ)[0]})"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.stderr.write('JAVA_HOME is not set\\n'); sys.exit(1)", "JAVA_HOME"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9"),
    ],
)
def test_failure_without_an_error_line(environ: dict[str, str], code: str, reason: str) -> None:
    """The last line, or else the exit code."""
    with pytest.raises(JobFailed, match=reason):
        list(LAUNCHER.run(Job("backfill", [code]), environ))


def test_closing_the_iterator_ends_the_job_and_its_children(environ: dict[str, str]) -> None:
    """An interrupted apply leaves nothing running."""
    code = (
        "import os, subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(os.getpid(), child.pid); time.sleep(600)"
    )
    lines = LAUNCHER.run(Job("backfill", [code]), environ)
    processes = [int(text) for text in next(lines).split()]
    lines.close()
    assert not is_alive(processes[0])
    wait_for_end(processes[1])


def wait_for_end(process: int) -> None:
    """Wait until a process that is not ours has ended."""
    for _ in range(1000):
        if not is_alive(process):
            return
        os.sched_yield()
        subprocess.run(["true"], check=True)
    raise AssertionError(f"process {process} still runs")


def test_started_job_goes_on_alone(environ: dict[str, str], tmp_path: Path) -> None:
    """`start` returns at once, and says where all output goes."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"import sys; print('begun'); print(open({str(fifo)!r}).read()); sys.stderr.write('e')"
    log = LAUNCHER.start(Job("backfill", [code]), environ)
    fifo.write_text("told later")
    assert [Path(log)] == logs(environ)
    for _ in range(1000):
        if Path(log).read_text() == "begun\ntold later\ne":
            break
        subprocess.run(["true"], check=True)
    assert Path(log).read_text() == "begun\ntold later\ne"


def test_log_of_a_store_elsewhere_is_in_the_temp_folder() -> None:
    """Object stores get no logs."""
    with pytest.raises(JobFailed) as info:
        list(LAUNCHER.run(Job("backfill", ["import sys; sys.exit(1)"]), {"TECTON_STORE": "s3://b"}))
    log = Path(str(info.value).rpartition("(the log: ")[2].rstrip(")"))
    assert log.is_file()
    log.unlink()


def test_spark_submit_of_this_environment(tmp_path: Path) -> None:
    """This interpreter's Spark, Delta's jar for it, the script, and then its arguments."""
    command = LocalLauncher("512m", master="local[2]").command(
        Job("backfill", ["--workspace", "w"])
    )
    assert Path(command[0]).name == "spark-submit"
    text = " ".join(command)
    assert "--master local[2] --driver-memory 512m --packages io.delta:delta-spark_2.1" in text
    assert text.endswith(f"{ROOT}/jobs/backfill.py --workspace w")


def test_packages_besides_deltas() -> None:
    """As the settings name them."""
    command = LocalLauncher("1g", packages="a:b:1,c:d:2").command(Job("backfill", []))
    packages = command[command.index("--packages") + 1].split(",")
    assert ("io.delta:delta-spark_2.1", ["a:b:1", "c:d:2"]) == (packages[0][:24], packages[1:])


def test_missing_script() -> None:
    """The message names it."""
    with pytest.raises(JobFailed, match=r"jobs/nonsense\.py is not installed"):
        LocalLauncher("1g").command(Job("nonsense", []))


# The command as a process


def tecton(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as users do."""
    environ = {key: text for key, text in os.environ.items() if not key.startswith("TECTON_")}
    return subprocess.run(
        [sys.executable, "-m", "tecton.cli.main", *arguments],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
    )


def test_a_newcomers_first_commands(tmp_path: Path) -> None:
    """init, workspace create, plan, apply: as processes, in a terminal without UTF-8."""
    assert tecton(tmp_path, "init").returncode == 0
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    for arguments in (["workspace", "create", "dev"], ["plan"], ["apply", "-y"]):
        done = tecton(tmp_path, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
    again = tecton(tmp_path, "plan")
    assert "The remote and local state are the same, nothing to do!" in again.stdout


def test_errors_are_one_line_and_no_traceback(tmp_path: Path) -> None:
    """Exit code 1 and what to do."""
    done = tecton(tmp_path, "plan")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no store: ")
    assert done.stderr.count("\n") == 1


def test_command_that_needs_no_spark_is_quick_to_import() -> None:
    """The command line loads no Spark, Flask or Redis until a command needs it."""
    code = (
        "import sys, tecton.cli.main;"
        "print([name for name in ('pyspark', 'flask', 'redis', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_being_told_to_end_ends_the_job(tmp_path: Path) -> None:
    """SIGTERM is an interrupt: the running job goes first, the version stays applied."""
    code = f"""
import os, sys
from tecton.adapters.launchers.local import LocalLauncher
class Launcher(LocalLauncher):
    def command(self, job):
        return [sys.executable, "-c", "import os, time; print('job', os.getpid()); time.sleep(600)"]
from tecton.bootstrap import Backend
Backend.launcher = property(lambda self: Launcher("1g"))
from tecton.cli.main import main
os.chdir({str(tmp_path)!r})
sys.exit(main(["apply", "-y"]))
"""
    tecton(tmp_path, "init")
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    tecton(tmp_path, "workspace", "create", "prod", "--live")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    job = next(int(line.split()[1]) for line in process.stdout if line.startswith("job "))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "version 2 is applied, but its backfill failed: interrupted" in err
    assert err.count("\n") == 1
    assert not is_alive(job)
