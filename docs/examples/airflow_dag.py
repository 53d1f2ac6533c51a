"""
An Airflow DAG (3.x, or 2.9 with `apache-airflow-providers-standard`) that runs what is due.

The worker needs `pip install 'emberstore[jobs]'`, Java 17 and the settings of README.md. What is
due is derived from the store each time, and retries are kept there too: a task that was killed or
skipped loses nothing, and two at once start nothing twice.
"""

from datetime import datetime, timedelta, timezone

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

with DAG(
    dag_id="tecton_run_due",
    description="Backfills, frontfills and maintenance of every live workspace",
    schedule=timedelta(minutes=5),
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
) as dag:
    BashOperator(
        task_id="run_due",
        bash_command="tecton materialize run-due",
        env={
            "TECTON_STORE": "s3://my-bucket/tecton",
            "TECTON_REDIS_URL": "rediss://my-redis:6379",
        },
        append_env=True,
        # A failed job is tried again by a later run, when it is due.
        retries=0,
    )
