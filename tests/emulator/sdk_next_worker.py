"""A worker on the next SDK of Runpod's, with a prestart hook. Its one argument chooses how the hook ends."""

import os
import pathlib
import sys
import time

import runpod

HOME = pathlib.Path(os.environ["HOME"])
KIND = sys.argv.pop(1)


def load_model():
    """Runs until the test lets it end."""
    print("loading the weights", flush=True)
    (HOME / f"{KIND}.loading").touch()
    end_s = time.monotonic() + 100
    while not (HOME / f"{KIND}.release").exists() and time.monotonic() < end_s:
        time.sleep(0.02)
    if KIND == "fails":
        raise RuntimeError("no weights")


async def generate(job):
    """Yields what the input lists, then raises if it says so."""
    print("received", job["input"], flush=True)
    for output in job["input"]["outputs"]:
        yield output
    if job["input"].get("end") == "raise":
        raise ValueError("boom")


if __name__ == "__main__":
    runpod.serverless.register_prestart_hook(load_model)
    runpod.serverless.start({"handler": generate, "return_aggregate_stream": True})
