"""Where the gateway's time goes under a load: py-spy, fetched when it is first needed, samples it from outside."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping

from bench.speed.fetching import PY_SPY_VERSION, MissingError, from_pypi
from bench.speed.peers import JOBS, OURS, RELAY
from bench.speed.processes import CACHE
from bench.speed.sizes import Asked, request_body
from bench.speed.stage import Scale, Way, staged
from bench.speed.workloads_relay import OUTPUTS, STREAM

PROFILED: Mapping[str, bytes] = {
    "relay": request_body(Asked(), model=RELAY, is_stream=False),
    "stream": request_body(STREAM, model=RELAY, is_stream=True),
    **{
        f"jobs-{page}": request_body(Asked(chunks=OUTPUTS, page=page), model=JOBS, is_stream=True)
        for page in (1, 8, 64)
    },
}
"""What can be profiled, and what its requests ask for."""
SAMPLE_S = 8
SAMPLES_PER_S = 400
WARMUP_S = 1.0
SHOWN = 25
MAIN = "gateway/__main__.py"
"""On every stack of the event loop's thread. Others wait for something, which py-spy cannot always tell from work."""
_LINE = re.compile(r":\d+(?=\)$)")


def profile(workload: str, scale: Scale) -> str:
    """The functions that take most of the gateway's time, as text.

    Raises:
        MissingError: py-spy cannot be had, or may not look into other processes here.
    """
    program = from_pypi(f"py-spy=={PY_SPY_VERSION}", "py-spy")
    stacks = CACHE / f"{workload}.stacks"
    stacks.unlink(missing_ok=True)
    with staged(scale) as stage:
        ours = stage.peers(OURS)[OURS]
        spying = subprocess.Popen(
            [
                *(program, "record", "--pid", str(ours.server.process.pid), "--native"),
                *("--duration", str(SAMPLE_S), "--rate", str(SAMPLES_PER_S), "--format", "raw", "--output", stacks),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            stage.load(ours, PROFILED[workload], Way(warmup_s=WARMUP_S, window_s=SAMPLE_S))
            spying.wait(2 * SAMPLE_S)
        finally:
            spying.kill()
            spying.wait()
    if not stacks.exists():
        raise MissingError("py-spy may not look into other processes here; root may")
    return summary(stacks.read_text().splitlines())


def summary(lines: Iterable[str]) -> str:
    """From stacks as py-spy writes them, `outer;inner count`: each function's own share, and that with its callees."""
    own: Counter[str] = Counter()
    with_callees: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if MAIN not in stack:
            continue
        frames = [_LINE.sub("", frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        with_callees.update(dict.fromkeys(frames, int(count)))
    total = max(1, sum(own.values()))
    parts = []
    for title, counted in (("own time", own), ("with what it calls", with_callees)):
        shares = [f"{100 * count / total:5.1f} %  {name}" for name, count in counted.most_common(SHOWN)]
        parts.append("\n".join([title, *shares]))
    return "\n\n".join(parts)
