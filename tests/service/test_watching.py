"""Figures, readiness and traces."""

from __future__ import annotations

import re

import httpx2

from tests.service.conftest import Service, Start


def figures(service: Service) -> str:
    answer = httpx2.get(
        f"{service.url}/metrics", headers={"Authorization": f"Bearer {service.root}"}, timeout=30
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return answer.text


def test_figures_of_all_processes_add_up(start: Start) -> None:
    # with telemetry on, and no OTEL_* variable that says where to, all else is the same
    service = start(workers=2, service={"telemetry": True})
    for number in range(20):  # a connection each, so that both processes have some
        with service.client() as client:
            client.record("hello", scope=f"user{number}")
    found = figures(service)
    counted = re.search(
        r'^memoryscope_requests_total\{method="POST",route="/v1/record",status="200"\} (\S+)$',
        found,
        re.MULTILINE,
    )
    assert counted is not None
    assert float(counted[1]) == 20
    assert 'memoryscope_request_seconds_count{route="/v1/record"} 20.0' in found
    assert "user1" not in found


def test_figures_need_an_administrator(service: Service) -> None:
    figures(service)
    answer = httpx2.get(
        f"{service.url}/metrics",
        headers={"Authorization": f"Bearer {service.key('read', 'write')}"},
    )
    assert answer.status_code == 403


def test_health_and_readiness(service: Service) -> None:
    assert httpx2.get(f"{service.url}/health").json()["status"] == "ok"
    assert httpx2.get(f"{service.url}/ready").json()["status"] == "ready"
