"""A job whose batch source and store are on S3: Spark, delta-rs and obstore on the same bucket."""

from __future__ import annotations

import io
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from obstore.store import S3Store

from tecton.adapters.launchers.local import LocalLauncher
from tecton.applied import BatchRows, WorkspaceState, offline_path
from tecton.bootstrap import Backend
from tecton.settings import Settings
from tecton.stores import BACKFILL, SUCCESS, Job
from tecton.testing import build_source, build_state, build_view
from tests.s3 import BUCKET, S3, s3

HADOOP_AWS = "org.apache.hadoop:hadoop-aws:3.4.1"
"""Of the Hadoop that PySpark 4.0.1 brings."""

# The parts of the SDK that it needs; all of it, `bundle`, is 560 MB.
SDK = [f"software.amazon.awssdk:{name}:2.25.53" for name in ("s3", "s3-transfer-manager", "sts")]
BUNDLE = "software.amazon.awssdk:bundle"

DAY = timedelta(days=1)
YESTERDAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - DAY


def spark_defaults(folder: Path, server: S3) -> str:
    """A folder for `SPARK_CONF_DIR`, with what tells Hadoop where this S3 is."""
    options = {
        "spark.jars.excludes": BUNDLE,
        "spark.hadoop.fs.s3a.endpoint": server.url,
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
    }
    text = "".join(f"{name} {value}\n" for name, value in options.items())
    (folder / "spark-defaults.conf").write_text(text)
    return str(folder)


def put_batch(server: S3) -> None:
    """Write the batch file of the documentation's source into a folder of the bucket."""
    table = pa.table(
        {
            "user_id": ["a", "b"],
            "timestamp": pa.array([YESTERDAY, YESTERDAY], pa.timestamp("us", "UTC")),
            "clicked": pa.array([1, 2], pa.int64()),
        }
    )
    data = io.BytesIO()
    pq.write_table(table, data)
    bucket = S3Store(
        BUCKET,
        endpoint=server.url,
        region="us-east-1",
        access_key_id="testing",
        secret_access_key="testing",
        client_options={"allow_http": True},
    )
    obstore.put(bucket, "lake/day/x.parquet", data.getvalue())


def applied(server: S3) -> tuple[Backend, WorkspaceState]:
    """A store on S3 with a view that is offline, whose source is beside it."""
    rows = BatchRows(uri=f"s3://{BUCKET}/lake", file_format="parquet", timestamp_field="timestamp")
    source = build_source(batch=rows)
    view = build_view(source, online=False, max_backfill_interval=36_500 * DAY)
    state = build_state([source], [view], [])
    backend = Backend(Settings(store=server.store))
    backend.registry.commit(state)
    return backend, state


@pytest.mark.spark
@pytest.mark.skipif(not os.environ.get("S3_JOBS"), reason="downloads 20 MB of jars; S3_JOBS=1")
def test_backfill_from_s3_to_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written `s3://` is read and written by all three, each under its own name."""
    with s3() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        put_batch(server)
        backend, state = applied(server)
        environ = {
            **backend.settings.environ(),
            "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "SPARK_CONF_DIR": spark_defaults(tmp_path, server),
            "TMPDIR": str(tmp_path),
        }

        launcher = LocalLauncher("1g", "local[2]", ",".join([HADOOP_AWS, *SDK]))

        lines = list(launcher.run(Job("backfill", ["--workspace", "prod"]), environ))

        assert "2 batch rows, 2 feature rows" in lines[0]
        [run] = backend.runs.attempts(state.folder)
        assert (BACKFILL, SUCCESS, 2) == (run.kind, run.state, run.rows_out)
        table = DeltaTable(f"{server.store}/{offline_path(state, state.views[0])}")
        users = table.to_pyarrow_table(columns=["user_id"])["user_id"].to_pylist()
        assert ["a", "b"] == sorted(users)
