"""How a demo ends when a part does not do its share; the parts here are stand-ins."""

import os
import signal

import anyio
import pytest

from gateway.demo.plan import Plan
from gateway.demo.supervisor import Supervisor

pytestmark = pytest.mark.server

LISTENS = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(int(sys.argv[2])); self.end_headers(); self.wfile.write(b"said the stand-in")
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SLEEPS = "import time\ntime.sleep(60)"
FAILS = "import sys\nprint('WARNING: no room')\nsys.exit(3)"


class StandIns(Plan, frozen=True, kw_only=True):
    """A plan whose parts are the scripts that the test wrote."""

    path: str
    status: int = 200

    def emulator_command(self):
        return ["emulator_stand_in", str(self.emulator_port), "200"]

    def gateway_command(self, configuration):
        assert configuration.exists()
        return ["gateway_stand_in", str(self.port), str(self.status)]

    def environment(self, directory, *, inherited=os.environ):
        return {**inherited, "PYTHONPATH": self.path, "TMPDIR": str(directory)}


@pytest.fixture
def run(tmp_path):
    async def run(*, emulator, gateway, status=200, ready_s_max=10, during=anyio.sleep_forever):
        """Run a demo to its end; returns the ending, and whether it was announced."""
        (tmp_path / "emulator_stand_in.py").write_text(emulator)
        (tmp_path / "gateway_stand_in.py").write_text(gateway)
        made = Plan.make(port=0, worker="scripted")
        plan = StandIns(
            worker="scripted", port=made.port, emulator_port=made.emulator_port, emulator_key="e", key="k",
            path=str(tmp_path), status=status,
        )  # fmt: skip
        announced = anyio.Event()

        async def once_announced():
            await announced.wait()
            await during()

        supervisor = Supervisor(plan, announce=announced.set, complain=print, ready_s_max=ready_s_max)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(once_announced)
                ending = await supervisor.run()
                group.cancel_scope.cancel()
        return ending, announced.is_set()

    return run


async def test_a_part_that_fails_is_named_and_quoted(run):
    ending, announced = await run(emulator=FAILS, gateway=LISTENS)
    assert ending.complaint == "The emulator ended with status 3."
    assert ending.tail == ("WARNING: no room",)
    assert not announced


async def test_a_part_that_never_listens_is_named(run):
    ending, announced = await run(emulator=LISTENS, gateway=SLEEPS, ready_s_max=1)
    assert ending.complaint == "Not ready after 1 s: still waiting for the gateway."
    assert not announced


async def test_a_refused_completion_is_not_ready(run):
    ending, announced = await run(emulator=LISTENS, gateway=LISTENS, status=503)
    assert ending.complaint.endswith("503: said the stand-in")
    assert not announced


@pytest.mark.usefixtures("default_hangup")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
async def test_a_signal_ends_it_in_peace(run, name):
    async def send():
        os.kill(os.getpid(), getattr(signal, name))

    ending, announced = await run(emulator=LISTENS, gateway=LISTENS, during=send)
    assert (ending.complaint, announced) == ("", True)
