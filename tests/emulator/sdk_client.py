"""Runpod's own client SDK, run as a process by the tests: a fixed sequence of calls, printed as JSON."""

import json
import sys

import runpod

runpod.api_key = "rp_test"
runpod.endpoint_url_base = sys.argv[1]


def chat(text, *, stream):
    body = {"stream": stream, "messages": [{"role": "user", "content": text}]}
    return {"input": {"openai_route": "/v1/chat/completions", "openai_input": body}}


def main():
    """Use every method of the SDK's Endpoint and Job."""
    scripted, busy = runpod.Endpoint("scripted"), runpod.Endpoint("busy")
    seen = {"health": scripted.health()}
    seen["run_sync"] = scripted.run_sync(chat("hello", stream=False))
    streamed = scripted.run(chat("count to 3", stream=True))
    seen["stream"] = list(streamed.stream())
    seen["status"], seen["output"] = streamed.status(), streamed.output()
    # The first takes the endpoint's only place; the others wait.
    running, *waiting = [busy.run(chat("slowly count to 10000", stream=True)) for _ in range(4)]
    seen["queued"] = waiting[0].status()
    seen["cancel"] = waiting[0].cancel()
    seen["cancelled"] = waiting[0].status()
    seen["purge"] = busy.purge_queue()
    seen["cancel_running"] = running.cancel()
    runpod.api_key = "wrong"
    try:
        runpod.Endpoint("scripted").health()
    except RuntimeError as error:
        seen["unauthorized"] = str(error)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
