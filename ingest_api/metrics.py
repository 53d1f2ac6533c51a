"""
`GET /api/v1/observability/metrics`: what this process has done, as OpenMetrics text (contract §4).

Labels are routes, statuses and names of objects that are applied, never what a client sent. Names
of the documented system's metrics and labels are kept where they fit; where it has a rate, here is
the counter that a rate is worked out from (docs/decisions/0031-metrics-are-counters.md).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Lock

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from ingest_api.log import seconds_taken
from tecton.errors import TectonError
from tecton.ingest import ViewCount
from tecton.stores import LogEntry, PushLog, StagedBatch

CONTENT_TYPE = CONTENT_TYPE_LATEST

OTHER = "other"
"""The endpoint of all paths that are none."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WORKSPACE = "workspace"


class _Counted:
    """What is counted of one life of a workspace."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # The name that the exposition ends a counter's with, `_total`, is added there.
        self.records = self._counter(
            "tecton_ingest_records", "Records that were taken.", "push_source_name"
        )
        self.rows = self._counter(
            "tecton_ingest_rows",
            "Feature rows that were taken, for each store.",
            "feature_view_name",
            "store",
        )
        self.served = self._counter(
            "feature_service_requests", "Feature vectors that were served.", "feature_service_name"
        )
        self.served_seconds = self._histogram(
            "feature_service_latency_seconds",
            "How long serving a feature vector took.",
            "feature_service_name",
        )
        self.commit_seconds = self._histogram(
            "tecton_commit_seconds", "How long commits to the push table took."
        )
        self.commit_failures = self._counter(
            "tecton_commit_failures", "Commits without a known outcome."
        )
        self.replayed = self._counter(
            "tecton_replayed_records", "Records that were offered to Redis again."
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_SECONDS)


class Metrics:
    """What is counted; safe to use from many threads.

    Workspaces are told apart by their ids, so that one that takes over a name shows nothing of
    the one before.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tecton_http_requests",
            "Requests that were answered.",
            ("endpoint", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "tecton_http_request_seconds",
            "From a request's head to its answer.",
            ("endpoint",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._counted: dict[str, _Counted] = {}
        self._lock = Lock()

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            endpoint: The route, as the OpenAPI document has it.
            status: Of HTTP.
            seconds: It took.
        """
        self._requests.labels(endpoint, str(status)).inc()
        self._request_seconds.labels(endpoint).observe(seconds)

    def ingested(
        self, workspace: str, records: Mapping[str, int], counts: Sequence[ViewCount]
    ) -> None:
        """Count a request that was taken.

        Args:
            workspace: Its id.
            records: How many, by Stream Source.
            counts: How many rows, by view.
        """
        counted = self._of(workspace)
        for source, count in records.items():
            counted.records.labels(source).inc(count)
        for view, online, offline in counts:
            counted.rows.labels(view, "online").inc(online)
            counted.rows.labels(view, "offline").inc(offline)

    def served(self, workspace: str, service: str, seconds: float) -> None:
        """Count a feature vector of a feature service of the workspace with this id."""
        counted = self._of(workspace)
        counted.served.labels(service).inc()
        counted.served_seconds.labels(service).observe(seconds)

    def watched(self, log: PushLog, workspace: str) -> PushLog:
        """A push log of the workspace with this id, which counts what is done with it."""
        return _WatchedLog(log, self._of(workspace))

    def keep(self, workspaces: Collection[str]) -> None:
        """Forget all workspaces but those with these ids."""
        with self._lock:
            for gone in self._counted.keys() - set(workspaces):
                del self._counted[gone]

    def text(
        self, workspaces: Mapping[str, str], queued: Mapping[str, int], is_replayed: bool
    ) -> bytes:
        """
        All of it, as OpenMetrics text.

        Args:
            workspaces: Their names by id; others are left out.
            queued: How many records wait for a commit, by name of the workspace.
            is_replayed: Does Redis hold all that this process has logged?
        """
        queue = GaugeMetricFamily(
            "tecton_ingest_queued_records", "Records that wait for a commit.", labels=[_WORKSPACE]
        )
        for workspace in workspaces.values():
            queue.add_metric([workspace], queued.get(workspace, 0))
        replayed = GaugeMetricFamily(
            "tecton_replay_is_complete",
            "1 while Redis holds all that this process has logged.",
            value=int(is_replayed),
        )
        with self._lock:
            counted = {name: self._counted.get(key) for key, name in workspaces.items()}
        families: dict[str, Metric] = {}
        _add(families, self._registry, {})
        for name, found in counted.items():
            if found is not None:
                _add(families, found.registry, {_WORKSPACE: name})
        # The package is typed, but for this function.
        text: bytes = generate_latest(  # type: ignore[no-untyped-call]
            _Collected([queue, replayed, *families.values()])
        )
        return text

    def _of(self, workspace: str) -> _Counted:
        with self._lock:
            counted = self._counted.get(workspace)
            if counted is None:
                counted = self._counted[workspace] = _Counted()
            return counted


class _Collected:
    """What the exposition takes for a registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _add(
    families: dict[str, Metric], registry: CollectorRegistry, labels: Mapping[str, str]
) -> None:
    """Add the series of a registry, with further labels."""
    for family in registry.collect():
        empty = Metric(family.name, family.documentation, family.type, family.unit)
        families.setdefault(family.name, empty).samples += [
            sample._replace(labels={**labels, **sample.labels})
            for sample in family.samples
            # When a series began says nothing that its counter does not.
            if not sample.name.endswith("_created")
        ]


class _WatchedLog:
    """`stores.PushLog` around another one."""

    def __init__(self, log: PushLog, counted: _Counted) -> None:
        self._log = log
        self._counted = counted
        self._staging: dict[int, float] = {}

    @property
    def name(self) -> str:
        return self._log.name

    @property
    def last_batch(self) -> int:
        return self._log.last_batch

    @property
    def is_far(self) -> bool:
        return self._log.is_far

    def settle(self, now: datetime) -> int:
        return self._log.settle(now)

    def stage(self, entries: Sequence[LogEntry], accepted_at: datetime) -> StagedBatch:
        began = time.perf_counter()
        try:
            staged = self._log.stage(entries, accepted_at)
        except TectonError:
            self._counted.commit_failures.inc()
            raise
        self._staging[staged.batch_no] = time.perf_counter() - began
        return staged

    def append(
        self,
        entries: Sequence[LogEntry],
        accepted_at: datetime,
        staged: StagedBatch | None = None,
    ) -> None:
        # What a staged batch has waited for its turn is no part of its commit.
        before = self._staging.pop(staged.batch_no, 0.0) if staged else 0.0
        began = time.perf_counter() - before
        try:
            self._log.append(entries, accepted_at, staged)
        except TectonError:
            self._counted.commit_failures.inc()
            raise
        self._counted.commit_seconds.observe(time.perf_counter() - began)

    def read_after(self, batch_no: int) -> Iterator[Sequence[LogEntry]]:
        for batch in self._log.read_after(batch_no):
            self._counted.replayed.inc(len(batch))
            yield batch

    def close(self) -> None:
        self._log.close()


def count_answers(app: Flask, metrics: Metrics) -> None:
    """Count each answer that *app* gives."""

    @app.after_request
    def count(response: Response) -> Response:
        rule = request.url_rule
        endpoint = OTHER if rule is None else rule.rule
        metrics.answered(endpoint, response.status_code, seconds_taken())
        return response


def openmetrics(text: bytes) -> Response:
    """An answer of OpenMetrics text."""
    return Response(text, content_type=CONTENT_TYPE)
