"""A worker on Runpod's own SDK, run as a process by the tests. Its one argument chooses the handler."""

import asyncio
import sys

import runpod


async def generate(job):
    """Yields what the input lists; then ends as the input says."""
    for output in job["input"].get("outputs", []):
        yield output
    end = job["input"].get("end")
    if end == "raise":
        raise ValueError("boom")
    if end == "error":
        yield {"error": {"message": "no such 'model'", "code": 404}}
    if end == "never":
        number = 0
        while True:
            yield f"tick {number}"
            number += 1
            await asyncio.sleep(0.05)


def answer(job):
    """Returns what the input says, or raises."""
    if job["input"].get("end") == "raise":
        raise ValueError("boom")
    return job["input"].get("output")


HANDLERS = {
    "generator": {
        "handler": generate,
        "return_aggregate_stream": True,
        # More than one at once: the SDK then uses job-take-batch.
        "concurrency_modifier": lambda _: 4,
    },
    "forgetful": {"handler": generate},
    "plain": {"handler": answer},
}

if __name__ == "__main__":
    runpod.serverless.start(HANDLERS[sys.argv.pop(1)])
