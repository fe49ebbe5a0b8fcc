"""How many series a gateway can make: what strangers send adds none, and the configuration bounds the rest."""

import random
import string
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.config.keys import key_line
from gateway.connection_limits import Refusal
from gateway.domain import Operation
from gateway.errors import ConnectFault
from gateway.events import CallOutcome, Outcome
from gateway.observability.metrics import LATENCY_S, WAIT_S
from tests.effort import tries
from tests.fakes.asgi import AsgiCall
from tests.subject import CHAT, Subject, answering, running

TENANTS, REQUESTS = tries(1_000), tries(10_000)
MODELS, ENDPOINTS, ROUTES, REASONS = 3, 1, 3, 10
"""Of models, those in the file, and the empty name of a request that was not read so far."""
PROCESS_SERIES = 40


def series_max() -> int:
    """The bound that the README states."""
    answers = (MODELS + 1) * ROUTES
    of_a_tenant = answers * len(Outcome) + MODELS * 2 + REASONS + ENDPOINTS * (len(WAIT_S) + 3 + 6)
    of_an_endpoint = len(Operation) * (len(CallOutcome) + 1) + len(CallOutcome) + len(LATENCY_S) + 3 + 4
    of_an_endpoint += len(ConnectFault)
    of_the_process = PROCESS_SERIES + len(Refusal)
    return (
        (TENANTS + 1) * of_a_tenant + ENDPOINTS * of_an_endpoint + answers * 2 * (len(LATENCY_S) + 3) + of_the_process
    )


def hostile(random_: random.Random) -> str:
    letters = string.printable + "é😀\u2028"
    return "".join(random_.choices(letters, k=random_.randint(1, 60)))


async def send(subject: Subject, random_: random.Random, tenant: int) -> None:
    """One request as a stranger might send it: sometimes a good one, mostly not."""
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "user": hostile(random_)}
    if random_.random() < 0.7:
        body["model"] = hostile(random_)
    path = CHAT if random_.random() < 0.9 else f"/v1/{random_.randint(0, 10**9)}"
    headers = {f"x-{random_.randint(0, 10**9)}": "1", "x-tenant": "forged", "authorization": f"Bearer key-{tenant}"}
    if random_.random() < 0.1:
        headers["authorization"] = f"Bearer {random_.randint(0, 10**9)}"
    await AsgiCall(path, body | {"stream": True}, headers=headers).run(subject.gateway.app)


async def test_hostile_requests_add_no_series_of_their_own() -> None:
    random_ = random.Random(7)
    tenants = [{"name": f"t{number}", "keys": [key_line(f"key-{number}")]} for number in range(TENANTS)]
    models = [{"id": "m", "endpoint": "chat"}, {"id": "*", "endpoint": "chat"}]
    async with running(answering(), tenants=tenants, models=models, endpoint={"route": "auto"}) as subject:
        for number in range(REQUESTS):
            await send(subject, random_, number % TENANTS)
        rendered = subject.gateway._metrics.render()[0].decode()
    samples = [sample for family in text_string_to_metric_families(rendered) for sample in family.samples]
    labels: dict[str, set[str]] = {}
    for sample in samples:
        for name, value in sample.labels.items():
            labels.setdefault(name, set()).add(value)
    assert labels["tenant"] <= {f"t{number}" for number in range(TENANTS)} | {""}
    assert labels["model"] <= {"m", "other", ""}
    assert labels["endpoint"] <= {"chat", ""}
    assert labels["route"] <= {"job", "openai", ""}
    reasons = {each.labels["reason"] for each in samples if each.name == "gateway_refusals_total"}
    assert len(reasons) <= REASONS
    assert len(labels["tenant"]) == TENANTS + 1
    print(f"{len(samples)} series of at most {series_max()}")
    assert len(samples) <= series_max()
