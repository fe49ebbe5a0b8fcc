import httpx
import pytest

from gateway.emulator.app import build_emulator
from tests.emulator.support import chat, content, read_events
from tests.serving import serving

pytestmark = pytest.mark.server


def test_an_emulator_on_a_real_server():
    with serving(build_emulator()) as base, httpx.Client(base_url=f"{base}/v2/any-id") as client:
        reply = client.post("/runsync", json=chat("count to 3"))
        assert content(read_events("".join(reply.json()["output"]))) == "1 2 3"
        assert client.get(f"{base}/elsewhere").status_code == 404


def test_two_emulators_share_nothing():
    with serving(build_emulator()) as one, serving(build_emulator()) as other:
        job_id = httpx.post(f"{one}/v2/ep/run", json=chat()).json()["id"]
        assert httpx.get(f"{one}/v2/ep/status/{job_id}").status_code == 200
        assert httpx.get(f"{other}/v2/ep/status/{job_id}").status_code == 404
