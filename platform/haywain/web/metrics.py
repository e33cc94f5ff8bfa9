"""`/metrics`: what this process does, for Prometheus.

For whoever asks from this machine, and for those who may manage: a proxy on the same machine is not taken for
it, as it says for whom it asks.
"""

import ipaddress
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain import clock
from haywain.activity.status import status
from haywain.errors import DatabaseServerError, UnauthorizedError
from haywain.portal import Site
from haywain.security import require
from haywain.store.disk import free_bytes
from haywain.web.channel import FORWARDED

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Collector:
    """The metrics of a site, made when they are asked for."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._ingestion()
        yield from self._workers()
        works, size = self._site.group.waiting
        yield GaugeMetricFamily("haywain_waiting_requests", "Requests that wait for a transaction.", works)
        yield GaugeMetricFamily("haywain_waiting_bytes", "Their bytes.", size)
        free, total = free_bytes(self._site.path)
        yield GaugeMetricFamily("haywain_disk_free_bytes", "Free on the disk of the data directory.", free)
        yield GaugeMetricFamily("haywain_disk_total_bytes", "Size of the disk.", total)

    def _workers(self) -> Iterator[Metric]:
        """Yield what a portal on a shared database sees of those that run activities."""
        try:
            with self._site.open() as portal:
                found = status(portal)
        except DatabaseServerError:
            return
        silent_s = clock.now_s() - found.silent_since_s if found.silent_since_s is not None else 0.0
        yield GaugeMetricFamily("haywain_ready_activities", "Activities that could run now.", found.ready)
        alive = sum(process.is_alive for process in found.processes)
        yield GaugeMetricFamily("haywain_worker_processes", "Processes that run activities.", alive)
        yield GaugeMetricFamily("haywain_workers_silent_seconds", "Since when no Worker runs any.", silent_s)

    def _ingestion(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "haywain_ingest_requests",
            "Requests to a policy, by what became of them.",
            labels=("policy", "outcome"),
        )
        records = CounterMetricFamily("haywain_ingest_records", "Records stored.", labels=("policy",))
        size = CounterMetricFamily("haywain_ingest_bytes", "Bytes stored.", labels=("policy",))
        seen = GaugeMetricFamily(
            "haywain_ingest_idle_seconds", "Seconds since the last request.", labels=("policy",)
        )
        for policy, counts in sorted(self._site.tally.policies().items()):
            for outcome, count in counts.requests.items():
                requests.add_metric((policy, outcome), count)
            records.add_metric((policy,), counts.records)
            size.add_metric((policy,), counts.stored_bytes)
            seen.add_metric((policy,), max(0.0, clock.now_s() - counts.seen_s))
        yield from (requests, records, size, seen)


def metrics(request: Request) -> Response:
    """Answer in Prometheus's text format."""
    if not _is_local(request):
        if not request.user.login:
            raise UnauthorizedError("Metrics are for programs on this machine, and for Managers")
        require(request.user, "manage")
    return Response(generate_latest(request.registry["metrics"]), headerlist=[("Content-Type", CONTENT_TYPE)])


def _is_local(request: Request) -> bool:
    """Return whether a program on this machine asks, for nobody else."""
    if request.environ.get(FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def includeme(config: Configurator) -> None:
    """Register it; who may see it is looked at inside."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(_Collector(config.registry["site"]))
    config.registry["metrics"] = registry
    config.add_route("metrics", "/metrics", factory=lambda _request: None)
    config.add_view(
        metrics, route_name="metrics", request_method="GET", permission="__no_permission_required__"
    )
