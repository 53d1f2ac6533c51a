"""
What a notebook holds: a workspace, and its services, views and sources by name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tecton.applied import AppliedService, AppliedSource, AppliedView, WorkspaceState
from tecton.bootstrap import Backend
from tecton.client import Client
from tecton.erase import erase, keys_of
from tecton.errors import InvalidKeys, NotFound
from tecton.functions.transformation import turned_off
from tecton.launching import Launching
from tecton.locations import BatchRules, for_spark
from tecton.materialization import MaterializationJob, MaterializationJobs
from tecton.settings import Settings
from tecton.statuses import status_headings, status_rows

if TYPE_CHECKING:
    import pandas as pd

    from tecton.spark.point_in_time import ViewPart
    from tecton.spark.training import TectonDataFrame


def get_workspace(name: str, settings: Settings | None = None) -> Workspace:
    """
    The workspace of that name, as it is applied now.

    Args:
        name: Its name.
        settings: Which store and service; default: the environment's.

    Raises:
        NotFound: There is no such workspace.
        SettingsError: No store can be found.
    """
    if settings is None:
        settings = Settings.from_env(os.environ, Path.cwd())
    backend = Backend(settings)
    state = backend.registry.latest(name)
    if state is None or state.deleted:
        raise NotFound(f"there is no workspace {name}; `tecton workspace list` shows them")
    return Workspace(backend, state if settings.functions else turned_off(state))


class Workspace:
    """One workspace at the version that was the newest when it was got.

    Args:
        backend: The stores.
        state: What is applied.
    """

    def __init__(self, backend: Backend, state: WorkspaceState) -> None:
        self._backend = backend
        self._state = state

    @property
    def name(self) -> str:
        """The workspace's name."""
        return self._state.name

    def get_feature_service(self, name: str) -> FeatureServiceReader:
        """The feature service of that name; raises `NotFound`."""
        service = self._find("feature service", name, self._state.service_by_name)
        return FeatureServiceReader(self._backend, self._state, service)

    def get_feature_view(self, name: str) -> FeatureViewReader:
        """The feature view of that name; raises `NotFound`."""
        view = self._find("feature view", name, self._state.view_by_name)
        return FeatureViewReader(self._backend, self._state, view)

    def get_data_source(self, name: str) -> DataSource:
        """The stream source of that name; raises `NotFound`."""
        source = self._find("stream source", name, self._state.source_by_name)
        return DataSource(self._backend.settings, self._state, source)

    def __repr__(self) -> str:
        return f"<Workspace {self.name}, version {self._state.version}>"

    def _find(self, kind: str, name: str, among: Mapping[str, Any]) -> Any:
        if name not in among:
            known = ", ".join(sorted(among)) or "none"
            raise NotFound(f"workspace {self.name} has no {kind} {name}; it has: {known}")
        return among[name]


class _Reader:
    """Offline reads of some features."""

    def __init__(self, backend: Backend, state: WorkspaceState) -> None:
        self._backend = backend
        self._state = state

    def _parts(self) -> Sequence[ViewPart]:
        raise NotImplementedError

    def get_features_for_events(
        self,
        events: Any,
        timestamp_key: str | None = None,
        from_source: bool | None = None,
        as_known: bool = False,
    ) -> TectonDataFrame:
        """
        Add a column `view__feature` for each feature to a frame of events (contract §5).

        Each value is what an online read at the row's timestamp would have answered, had every
        event up to then been known; never one from after it.

        Args:
            events: A pandas or Spark frame with the join keys and a timestamp. Naive pandas
                timestamps are UTC; all are cut to microseconds.
            timestamp_key: The timestamp's column; may be left out if there is only one.
            from_source: None: what is materialised, and what was pushed since. True: computed
                from the batch source and the push log. False: what is materialised alone.
            as_known: Leave out what was accepted only after a row's timestamp.

        Returns:
            All rows once, with `to_pandas()` and `to_spark()`.

        Raises:
            InvalidEvents: A column is missing, of a wrong type, or in the way.
            NotFound: *from_source* is False and nothing is materialised.
            ViewNotLoaded: The backfill of a view has not ended.
            SourceError: The batch data is missing or of another schema.
        """
        from tecton.spark.session import get_session
        from tecton.spark.tables import StoreTables
        from tecton.spark.training import features_for_events

        settings = self._backend.settings
        spark = getattr(events, "sparkSession", None)
        spark = spark or get_session(os.environ, settings.spark_memory)
        logs, runs = self._backend.delta_logs, self._backend.runs
        rules = BatchRules(settings.batch_roots, settings.max_key_bytes)
        erasures = self._backend.erasures
        place = for_spark(settings.store)
        tables = StoreTables(spark, place, logs, runs, rules=rules, erasures=erasures)
        return features_for_events(
            tables, self._state, self._parts(), events, timestamp_key, from_source, as_known
        )


class FeatureServiceReader(_Reader):
    """A feature service in a notebook; `Workspace.get_feature_service` makes it."""

    def __init__(self, backend: Backend, state: WorkspaceState, service: AppliedService) -> None:
        super().__init__(backend, state)
        self._service = service

    @property
    def name(self) -> str:
        """The service's name."""
        return self._service.name

    def get_online_features(self, join_keys: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Ask the HTTP API for the feature vector of one set of join keys.

        Args:
            join_keys: By name.

        Returns:
            Each feature's value by its name `view.feature`, as the API spells values.
        """
        client = Client.of(self._backend.settings)
        return client.get_features(self._state.name, self._service.name, join_keys)

    def _parts(self) -> Sequence[ViewPart]:
        from tecton.spark.point_in_time import ViewPart

        parts = []
        for taken in self._service.views:
            view = self._state.view_by_name[taken.view]
            keys = {field.name: taken.service_key(field.name) for field in view.key_fields}
            parts.append(ViewPart(view, taken.namespace, taken.features, keys))
        return parts


class FeatureViewReader(_Reader):
    """A feature view in a notebook; `Workspace.get_feature_view` makes it."""

    def __init__(self, backend: Backend, state: WorkspaceState, view: AppliedView) -> None:
        super().__init__(backend, state)
        self._view = view

    @property
    def name(self) -> str:
        """The view's name."""
        return self._view.name

    def delete_keys(self, keys: Any, online: bool = True, offline: bool = True) -> Sequence[str]:
        """
        Delete what is known of some join keys; what is pushed later counts again.

        With *offline* every view of the same source with the same join keys loses them, and the
        push tables too. May be run again, also after it was interrupted.

        Args:
            keys: A pandas frame with the join keys as columns, or a list of dicts.
            online: From the online store.
            offline: From offline and push tables.

        Returns:
            What was done, in words.

        Raises:
            InvalidKeys: They are not the view's join keys.
            StoreUnavailable: A store does not answer; run it again.
        """
        backend, state, view = self._backend, self._state, self._view
        found = keys_of(view, keys)
        if not (online or offline):
            raise InvalidKeys("with online=False and offline=False there is nothing to delete")
        return list(
            erase(
                backend.erasures,
                lambda: backend.online,
                state,
                view,
                found,
                online,
                offline,
                _now,
                _wait_until,
                backend.push_tables,
            )
        )

    @property
    def _jobs(self) -> MaterializationJobs:
        launching = Launching(self._backend, os.environ, _now)
        return MaterializationJobs(launching, self._state, self._view)

    def materialization_status(
        self,
        verbose: bool = False,
        limit: int = 1000,
        sort_columns: str | None = None,
        errors_only: bool = False,
    ) -> pd.DataFrame:
        """
        The attempts at materialising this view, the newest first; all times are UTC.

        Args:
            verbose: With rows, stores and messages.
            limit: How many rows at most.
            sort_columns: Names of columns to sort by, separated by commas.
            errors_only: Only attempts that failed.
        """
        import pandas as pd

        rows = status_rows(self._jobs.runs(), verbose, limit, errors_only)
        frame = pd.DataFrame(rows, columns=list(status_headings(verbose)))
        return frame.sort_values(sort_columns.split(",")) if sort_columns else frame

    def trigger_materialization_job(
        self,
        start_time: datetime,
        end_time: datetime,
        online: bool,
        offline: bool,
        use_tecton_managed_retries: bool = True,
        overwrite: bool = False,
    ) -> str:
        """Start a job for the batch rows of a period; see `MaterializationJobs.trigger`."""
        return self._jobs.trigger(
            start_time, end_time, online, offline, use_tecton_managed_retries, overwrite
        )

    def list_materialization_jobs(self) -> Sequence[MaterializationJob]:
        """The jobs of this view, the newest first."""
        return self._jobs.list()

    def get_materialization_job(self, job_id: str) -> MaterializationJob:
        """One job of this view; raises `NotFound`."""
        return self._jobs.get(job_id)

    def cancel_materialization_job(self, job_id: str) -> MaterializationJob:
        """Ask for the end of a job; see `MaterializationJobs.cancel`."""
        return self._jobs.cancel(job_id)

    def wait_for_materialization_job(
        self, job_id: str, timeout: timedelta | None = None
    ) -> MaterializationJob:
        """Return a job when it has ended; see `MaterializationJobs.wait`."""
        return self._jobs.wait(job_id, timeout)

    def _parts(self) -> Sequence[ViewPart]:
        from tecton.spark.point_in_time import ViewPart

        view = self._view
        features = [feature.name for feature in view.features]
        keys = {field.name: field.name for field in view.key_fields}
        return [ViewPart(view, view.name, features, keys)]


@dataclass(frozen=True)
class DataSource:
    """A stream source in a notebook; `Workspace.get_data_source` makes it."""

    _settings: Settings
    _state: WorkspaceState
    _source: AppliedSource

    @property
    def name(self) -> str:
        """The source's name."""
        return self._source.name

    def ingest(self, events: Any, dry_run: bool = False) -> Mapping[str, Any]:
        """
        Send records to the Stream Ingest API.

        Args:
            events: A list of dicts, or a pandas frame. Naive times are UTC; missing values are
                null. All are sent in one request: they are taken all or none.
            dry_run: Validate only.

        Returns:
            The API's answer.
        """
        client = Client.of(self._settings)
        records = events.to_dict("records") if hasattr(events, "to_dict") else list(events)
        return client.ingest(self._state.name, {self._source.name: records}, dry_run)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _wait_until(at: datetime) -> None:
    while (remaining := (at - _now()).total_seconds()) > 0:
        time.sleep(remaining)
