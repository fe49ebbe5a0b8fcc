import httpx
import pytest

from tests.stacks import stack

pytestmark = pytest.mark.server


def test_probes_and_metrics_need_no_key_and_wake_no_worker() -> None:
    with stack() as running:
        for path in ("/", "/health", "/livez", "/readyz"):
            assert httpx.get(running.url + path).status_code == 200
        ready = httpx.get(f"{running.url}/readyz").json()
        assert ready == {"ready": True, "draining": False, "state_store": "memory", "exchanges": 0}
        metrics = httpx.get(f"{running.url}/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "gateway_build_info" in metrics.text
        running.gateway.exchanges.is_draining = True
        assert httpx.get(f"{running.url}/readyz").status_code == 503
        assert httpx.get(f"{running.url}/livez").status_code == 200
        assert running.calls() == []
