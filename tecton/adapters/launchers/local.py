"""
Jobs on this machine: `spark-submit` of the interpreter's own environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from tecton.errors import JobFailed
from tecton.stores import Job

ERROR_MARK = "error: "
"""How a job begins the one line on stderr that says why it failed."""

STOP_SECONDS = 10.0
"""How long a job may take to end when it is told to."""

_TAIL_BYTES = 64 * 1024

_LIBRARY = Path(__file__).resolve().parents[3]
"""Where `tecton` and `jobs` are imported from."""

# Small data on few cores: Spark's defaults are for a cluster.
_CONFIGURATION = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.log.level": "WARN",
    "spark.driver.host": "localhost",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


class LocalLauncher:
    """`stores.JobLauncher` on this machine; each job is one Spark application.

    Args:
        spark_memory: Heap of the driver, which is the whole application, as `1g`.
        master: Spark's master; default: all cores of this machine.
        packages: Maven coordinates besides Delta's, separated by commas.
    """

    def __init__(self, spark_memory: str, master: str = "local[*]", packages: str = "") -> None:
        self._memory = spark_memory
        self._master = master
        self._packages = packages

    def run(self, job: Job, environ: Mapping[str, str]) -> Iterator[str]:
        """
        Run *job* to its end; closing the iterator ends the job.

        Args:
            job: The script under `jobs/` and its arguments.
            environ: Settings that the job must see, besides this process's environment.

        Yields:
            Each line of the job's standard output.

        Raises:
            JobFailed: It ended without success; says its last line and where the log is.
        """
        command = self.command(job)
        log = _new_log(job, environ)
        with log.open("ab") as errors:
            process = subprocess.Popen(
                command,
                env=_environment(environ, log),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                errors="replace",
                # An interrupt on the terminal reaches us alone, and we end the whole group.
                start_new_session=True,
            )
        try:
            yield from _lines(process, log)
            code = process.wait()
        finally:
            _end(process)
        if code != 0:
            raise JobFailed(f"{_last_error(log) or f'exit code {code}'} (the log: {log})")

    def start(self, job: Job, environ: Mapping[str, str]) -> str:
        """
        Start *job* and leave it to itself.

        Args:
            job: As for `run`.
            environ: As for `run`.

        Returns:
            The file with everything that the job will print.
        """
        command = self.command(job)
        log = _new_log(job, environ)
        with log.open("ab") as output:
            subprocess.Popen(
                command,
                env=_environment(environ, log),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return str(log)

    def command(self, job: Job) -> Sequence[str]:
        """
        The command line that runs *job*.

        Raises:
            JobFailed: PySpark, delta-spark or the job's script is not installed.
        """
        spark = _spark_home()
        submit = Path(sys.executable).parent / "spark-submit"
        options = {
            "--master": self._master,
            "--driver-memory": self._memory,
            "--packages": ",".join(filter(None, (_delta_package(), self._packages))),
        }
        return [
            str(submit if submit.exists() else spark / "bin" / "spark-submit"),
            *(text for option in options.items() for text in option),
            *(text for item in _CONFIGURATION.items() for text in ("--conf", "=".join(item))),
            str(_script(job.script)),
            *job.arguments,
        ]


def _spark_home() -> Path:
    """PySpark's folder, found without importing it."""
    spec = find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise JobFailed(f"pyspark is not installed for {sys.executable}; install the extra [jobs]")
    return Path(spec.submodule_search_locations[0])


def _delta_package() -> str:
    """The Maven coordinates of Delta for the installed PySpark."""
    try:
        delta, spark = metadata.version("delta-spark"), metadata.version("pyspark")
    except metadata.PackageNotFoundError as exc:
        raise JobFailed(
            f"{exc.name} is not installed for {sys.executable}; install the extra [jobs]"
        ) from exc
    scala = "2.12" if int(spark.partition(".")[0]) < 4 else "2.13"
    return f"io.delta:delta-spark_{scala}:{delta}"


def _script(name: str) -> Path:
    """The script that belongs to this library; a feature repo may have a folder `jobs` too."""
    spec = find_spec("jobs")
    found = (spec and spec.submodule_search_locations) or ()
    for folder in (_LIBRARY / "jobs", *map(Path, found)):
        if (folder / f"{name}.py").is_file():
            return folder / f"{name}.py"
    raise JobFailed(f"the script jobs/{name}.py is not installed for {sys.executable}")


def _environment(environ: Mapping[str, str], log: Path) -> dict[str, str]:
    """This process's environment, with this interpreter for every Python that Spark starts."""
    library = str(_LIBRARY)
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        # Another Spark of this machine has other jars than this environment's PySpark.
        "SPARK_HOME": str(_spark_home()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": library if not path else os.pathsep.join((library, path)),
        "PYTHONUNBUFFERED": "1",
        "TECTON_JOB_LOG": str(log),
        **environ,
    }


def _new_log(job: Job, environ: Mapping[str, str]) -> Path:
    """A new file for what the job prints: in a local store's `logs/`, else the temp folder."""
    store = environ.get("TECTON_STORE", "")
    folder = Path(store) / "logs" if Path(store).is_absolute() else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f"{job.script}-", suffix=".log", dir=folder)
    os.close(descriptor)
    return Path(name)


def _lines(process: subprocess.Popen[str], log: Path) -> Iterator[str]:
    """The job's lines as they come; the log gets them too, among those of stderr."""
    if process.stdout is None:
        return
    with log.open("a", encoding="utf-8") as copy:
        for line in process.stdout:
            copy.write(line)
            copy.flush()
            yield line.rstrip("\n")


def _end(process: subprocess.Popen[str]) -> None:
    """End the job's whole process group if it still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        os.killpg(process.pid, number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()


def _last_error(log: Path) -> str:
    """The line in which the job says why it failed, or else the last one it printed."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    said = [line for line in lines if line]
    errors = [line.removeprefix(ERROR_MARK) for line in said if line.startswith(ERROR_MARK)]
    return (errors or said or [""])[-1]
