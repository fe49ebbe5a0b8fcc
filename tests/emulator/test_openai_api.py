import anyio
import httpx
import pytest

from gateway.emulator.app import build_emulator
from gateway.emulator.calls import Call
from gateway.emulator.endpoint import Endpoint
from gateway.emulator.faults import FaultPlan, Faults
from gateway.emulator.limits import Limit
from gateway.emulator.openai_api import openai
from gateway.emulator.settings import Dialect, EmulatorSettings
from tests.emulator.support import admin, content, emulator, read_events, settle
from tests.serving import serving
from tests.virtual_time import LoopClock

CHAT = "/openai/v1/chat/completions"


def body(text: str = "count to 3", **fields):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **fields}


@pytest.mark.parametrize("dialect", [Dialect.VLLM, Dialect.VLLM_BATCHED, Dialect.VLLM_DICTS, Dialect.SGLANG])
@pytest.mark.parametrize("aggregate", [True, False])
async def test_a_whole_answer_is_the_json_of_the_single_output(dialect, aggregate):
    async with emulator(EmulatorSettings(dialect=dialect, aggregate=aggregate)) as client:
        reply = await client.post(CHAT, json=body())
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        assert reply.json()["choices"][0]["message"]["content"] == "1 2 3"


@pytest.mark.parametrize("dialect", [Dialect.VLLM, Dialect.VLLM_BATCHED, Dialect.VLLM_DICTS, Dialect.SGLANG])
async def test_a_stream_is_the_outputs_one_after_the_other(dialect):
    async with emulator(EmulatorSettings(dialect=dialect)) as client:
        reply = await client.post(CHAT, json=body(stream=True))
        assert reply.headers["content-type"].startswith("text/event-stream")
        events = read_events(reply.text)
        assert content(events) == "1 2 3"
        assert (events[-1] == "[DONE]") is (dialect is not Dialect.VLLM_DICTS)


async def test_the_job_is_not_named_and_has_the_route_and_the_body_as_its_input():
    async with emulator(EmulatorSettings(worker="none", edge_timeout_s=0.05)) as client:
        reply = await client.post(CHAT, json=body(temperature=1))
        (job,) = (await client.get(admin("jobs"))).json()
        assert job["id"] not in str(reply.headers)
        taken = (await client.get("/job-take/w")).json()
        assert taken["input"] == {"openai_route": "/v1/chat/completions", "openai_input": body(temperature=1)}


async def test_models_are_a_job_too():
    async with emulator(EmulatorSettings(models=("a", "b"))) as client:
        reply = await client.get("/openai/v1/models")
        assert [model["id"] for model in reply.json()["data"]] == ["a", "b"]
        assert len((await client.get(admin("jobs"))).json()) == 1


async def test_embeddings():
    async with emulator() as client:
        reply = await client.post("/openai/v1/embeddings", json={"model": "m", "input": ["a", "b"]})
        assert len(reply.json()["data"]) == 2


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cold_load_beyond_the_edges_patience_is_an_html_524_and_the_job_goes_on(stream):
    faults = Faults(cold_start_s=0.3)
    async with emulator(EmulatorSettings(edge_timeout_s=0.05, faults=faults)) as client:
        reply = await client.post(CHAT, json=body(stream=stream))
        assert (reply.status_code, reply.headers["content-type"]) == (524, "text/html; charset=UTF-8")
        (job,) = (await client.get(admin("jobs"))).json()
        assert job["state"] == "IN_QUEUE"
        with anyio.fail_after(5):
            while (await client.get(f"/status/{job['id']}")).json()["status"] != "COMPLETED":
                await anyio.sleep(0.05)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_job_that_fails_before_its_first_output_is_a_500(stream):
    async with emulator() as client:
        reply = await client.post(CHAT, json=body("#fail=generator", stream=stream))
        assert reply.status_code == 500
        assert reply.json()["error"].startswith("handler: boom")


async def test_a_job_that_fails_in_mid_stream_just_ends():
    async with emulator(EmulatorSettings(slices="events")) as client:
        reply = await client.post(CHAT, json=body("count to 9 #fail=generator #fail-after=3", stream=True))
        assert reply.status_code == 200
        assert content(read_events(reply.text)) == "1 2"


@pytest.mark.server
@pytest.mark.parametrize("kind", ["vllm_died", "platform", "generator_logs"])
async def test_a_stream_whose_worker_dies_ends_like_a_whole_one_and_lacks_its_end(kind):
    with serving(build_emulator(EmulatorSettings(slices="events"))) as base:
        async with httpx.AsyncClient(base_url=f"{base}/v2/ep") as client:
            reply = await client.post(CHAT, json=body(f"count to 9 #fail={kind} #fail-after=4", stream=True))
    events = read_events(reply.text)
    assert (reply.status_code, content(events)) == (200, "1 2 3")
    assert "[DONE]" not in events
    assert all(choice["finish_reason"] is None for chunk in events for choice in chunk["choices"])


@pytest.mark.parametrize("stream", [True, False])
async def test_prompts_in_a_list_have_their_choices_in_order(stream):
    async with emulator() as client:
        fields = {"prompt": ["count to 2", "count to 4"], "n": 2, "max_tokens": -1, "stream": stream}
        reply = await client.post("/openai/v1/completions", json=fields)
        chunks = [chunk for chunk in read_events(reply.text) if chunk != "[DONE]"] if stream else [reply.json()]
        said: dict[int, str] = {}
        for choice in (choice for chunk in chunks for choice in chunk["choices"]):
            said[choice["index"]] = said.get(choice["index"], "") + choice["text"]
        assert said == {0: "1 2", 1: "1 2", 2: "1 2 3 4", 3: "1 2 3 4"}
        assert sum(choice["finish_reason"] == "stop" for chunk in chunks for choice in chunk["choices"]) == 4


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("echo", "text"), [(True, "count to 2"), (False, "")])
async def test_a_completion_of_no_tokens(stream, echo, text):
    async with emulator() as client:
        fields = {"prompt": "count to 2", "max_tokens": 0, "echo": echo, "stream": stream}
        reply = await client.post("/openai/v1/completions", json=fields)
        chunk = read_events(reply.text)[0] if stream else reply.json()
        (choice,) = chunk["choices"]
        assert (choice["text"], choice["finish_reason"]) == (text, "length")


@pytest.mark.parametrize(("max_tokens", "text"), [(0, ""), (-1, "1 2 3")])
async def test_a_chat_with_an_odd_length_limit(max_tokens, text):
    async with emulator() as client:
        reply = await client.post(CHAT, json=body(max_tokens=max_tokens))
        assert reply.json()["choices"][0]["message"]["content"] == text


async def test_an_old_workers_error_is_a_200():
    async with emulator() as client:
        reply = await client.post(CHAT, json=body("#fail=flat_error"))
        assert (reply.status_code, reply.json()["object"]) == (200, "error")


async def test_a_job_without_output_is_a_500():
    async with emulator() as client:
        assert (await client.post(CHAT, json=body("#fail=no_output"))).status_code == 500


@pytest.mark.parametrize("content_", [b"{", b"[]", b'{"stream": "x"}'])
async def test_bad_bodies_are_400(content_):
    async with emulator() as client:
        assert (await client.post(CHAT, content=content_)).status_code == 400


async def test_a_full_queue_is_429():
    async with emulator(EmulatorSettings(worker="none", queued_jobs_max=1)) as client:
        await client.post("/run", json={"input": {}})
        assert (await client.post(CHAT, json=body())).status_code == 429
    async with emulator(EmulatorSettings(worker="none", jobs_kept_max=1)) as client:
        await client.post("/run", json={"input": {}})
        assert (await client.post(CHAT, json=body())).status_code == 429


@pytest.mark.server
async def test_events_arrive_as_they_are_yielded_and_leaving_ends_the_call_but_not_the_job():
    app = build_emulator(EmulatorSettings(slices="events", limits={"openai": Limit(concurrent=1)}))
    with serving(app) as base:
        async with httpx.AsyncClient(base_url=f"{base}/v2/ep") as client:
            with anyio.fail_after(10):
                async with client.stream("POST", CHAT, json=body("count to 20 #interval=0.05", stream=True)) as reply:
                    seen = b""
                    async for part in reply.aiter_raw():
                        seen += part
                        if b'"1"' in seen:
                            break
            assert b"[DONE]" not in seen
            with anyio.fail_after(10):
                while (await client.get("/openai/v1/models")).status_code == 429:
                    await anyio.sleep(0.01)
            job = (await client.get(f"{base}/emulator/jobs")).json()[0]
            assert job["state"] == "IN_PROGRESS"
            status = (await client.get(f"/status-sync/{job['id']}")).json()
            assert status["status"] == "COMPLETED"
            assert status["output"][-1] == "data: [DONE]\n\n"


async def test_a_job_that_ends_while_its_output_is_being_sent():
    endpoint = Endpoint("ep", settings=EmulatorSettings(), plan=FaultPlan(Faults()), clock=LoopClock())
    sent = []

    async def receive():
        if not endpoint.jobs():
            return {"type": "http.request", "body": b'{"stream":true}', "more_body": False}
        return await anyio.sleep_forever()

    async def send(message) -> None:
        sent.append(message)
        if message.get("body") == b"first":
            endpoint.add_item(job, b'{"output":"last"}')
            endpoint.complete(job, b"[]")

    call = Call(endpoint, method="POST", rest="v1/x", query_string=b"", receive=receive, send=send)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(openai, call)
            await settle()
            job = endpoint.take("w")
            endpoint.add_item(job, b'{"output":"first"}')
    assert [message.get("body") for message in sent[1:]] == [b"first", b"last", b""]
