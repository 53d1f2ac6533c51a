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

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from ingest_api.log import seconds_taken
from tecton.errors import TectonError
from tecton.ingest import ViewCount
from tecton.stores import LogEntry, PushLog

CONTENT_TYPE = CONTENT_TYPE_LATEST

OTHER = "other"
"""The endpoint of all paths that are none."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WORKSPACE = "workspace"


class Metrics:
    """What is counted; safe to use from many threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        # The name that the exposition ends a counter's with, `_total`, is added there.
        self._requests = self._counter(
            "tecton_http_requests", "Requests that were answered.", "endpoint", "status"
        )
        self._request_seconds = self._histogram(
            "tecton_http_request_seconds", "From a request's head to its answer.", "endpoint"
        )
        self._records = self._counter(
            "tecton_ingest_records", "Records that were taken.", _WORKSPACE, "push_source_name"
        )
        self._rows = self._counter(
            "tecton_ingest_rows",
            "Feature rows that were taken, for each store.",
            _WORKSPACE,
            "feature_view_name",
            "store",
        )
        self._served = self._counter(
            "feature_service_requests",
            "Feature vectors that were served.",
            _WORKSPACE,
            "feature_service_name",
        )
        self._served_seconds = self._histogram(
            "feature_service_latency_seconds",
            "How long serving a feature vector took.",
            _WORKSPACE,
            "feature_service_name",
        )
        self._commit_seconds = self._histogram(
            "tecton_commit_seconds", "How long commits to the push table took.", _WORKSPACE
        )
        self._commit_failures = self._counter(
            "tecton_commit_failures", "Commits without a known outcome.", _WORKSPACE
        )
        self._replayed = self._counter(
            "tecton_replayed_records", "Records that were offered to Redis again.", _WORKSPACE
        )

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
            workspace: Its name.
            records: How many, by Stream Source.
            counts: How many rows, by view.
        """
        for source, count in records.items():
            self._records.labels(workspace, source).inc(count)
        for view, online, offline in counts:
            self._rows.labels(workspace, view, "online").inc(online)
            self._rows.labels(workspace, view, "offline").inc(offline)

    def served(self, workspace: str, service: str, seconds: float) -> None:
        """Count a feature vector of a feature service."""
        self._served.labels(workspace, service).inc()
        self._served_seconds.labels(workspace, service).observe(seconds)

    def watched(self, log: PushLog, workspace: str) -> PushLog:
        """A push log that counts what is done with it."""
        return _WatchedLog(
            log,
            self._commit_seconds.labels(workspace),
            self._commit_failures.labels(workspace),
            self._replayed.labels(workspace),
        )

    def text(
        self, workspaces: Collection[str], queued: Mapping[str, int], is_replayed: bool
    ) -> bytes:
        """
        All of it, as OpenMetrics text.

        Args:
            workspaces: Series of others are left out.
            queued: How many records wait for a commit, by workspace.
            is_replayed: Does Redis hold all that this process has logged?
        """
        queue = GaugeMetricFamily(
            "tecton_ingest_queued_records", "Records that wait for a commit.", labels=[_WORKSPACE]
        )
        for workspace in workspaces:
            queue.add_metric([workspace], queued.get(workspace, 0))
        replayed = GaugeMetricFamily(
            "tecton_replay_is_complete",
            "1 while Redis holds all that this process has logged.",
            value=int(is_replayed),
        )
        families = [queue, replayed, *_chosen(self._registry.collect(), workspaces)]
        text: bytes = generate_latest(_Collected(families))  # type: ignore[no-untyped-call]
        return text

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self._registry, buckets=_SECONDS)


class _Collected:
    """What the exposition takes for a registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _chosen(families: Iterable[Metric], workspaces: Collection[str]) -> Iterator[Metric]:
    """The series of some workspaces, and those of none."""
    for family in families:
        chosen = Metric(family.name, family.documentation, family.type, family.unit)
        chosen.samples = [
            sample
            for sample in family.samples
            # When a series began says nothing that its counter does not.
            if not sample.name.endswith("_created")
            and (_WORKSPACE not in sample.labels or sample.labels[_WORKSPACE] in workspaces)
        ]
        yield chosen


class _WatchedLog:
    """`stores.PushLog` around another one."""

    def __init__(
        self, log: PushLog, seconds: Histogram, failures: Counter, replayed: Counter
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._failures = failures
        self._replayed = replayed

    @property
    def name(self) -> str:
        return self._log.name

    @property
    def last_batch(self) -> int:
        return self._log.last_batch

    def settle(self, now: datetime) -> int:
        return self._log.settle(now)

    def append(self, entries: Sequence[LogEntry], accepted_at: datetime) -> None:
        began = time.perf_counter()
        try:
            self._log.append(entries, accepted_at)
        except TectonError:
            self._failures.inc()
            raise
        self._seconds.observe(time.perf_counter() - began)

    def read_after(self, batch_no: int) -> Iterator[Sequence[LogEntry]]:
        for batch in self._log.read_after(batch_no):
            self._replayed.inc(len(batch))
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
