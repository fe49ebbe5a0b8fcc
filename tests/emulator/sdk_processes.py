"""Workers on Runpod's own SDK, each in a process of its own, as a pod of Runpod's runs them."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

HERE = pathlib.Path(__file__).parent
NEXT_PYTHON = HERE.parent.parent / ".venv-runpod-next" / "bin" / "python"
"""The environment of the SDK's pre-release, made by scripts/setup.py."""


@contextlib.contextmanager
def sdk_worker(
    base: str,
    kind: str,
    home: pathlib.Path,
    *,
    script: str = "sdk_worker.py",
    python: str = sys.executable,
    **more: str,
) -> Iterator[subprocess.Popen]:
    """A worker of the endpoint that is named like its kind. It and its ping process end with the block."""
    url = f"{base}/v2/{kind}"
    # The dollar signs are the SDK's own placeholders.
    environment = os.environ | {
        "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu=FAKE",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu=FAKE",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$RUNPOD_POD_ID/$ID?gpu=FAKE",
        "RUNPOD_WEBHOOK_PING": f"{url}/ping/$RUNPOD_POD_ID?gpu=FAKE",
        "RUNPOD_AI_API_KEY": "rp_test",
        "RUNPOD_POD_ID": f"pod-{kind}",
        "RUNPOD_ENDPOINT_ID": kind,
        "RUNPOD_PING_INTERVAL": "1000",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
        "HOME": str(home),
        **more,
    }
    log = home / f"{kind}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, str(HERE / script), kind],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # Its own session: the group is the worker and the process that pings.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
