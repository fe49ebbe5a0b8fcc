from typing import Any

import anyio
import pytest

from gateway.api.client_network import network_of
from tests.fakes.asgi import AsgiCall
from tests.subject import Subject, answering, running


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a-socket", "a-socket"),
        ("", ""),
    ],
)
def test_a_client_is_told_by_its_network(host: str, network: str) -> None:
    scope: Any = {"client": (host, 12345)}
    assert network_of(scope) == network


@pytest.mark.parametrize("scope", [{}, {"client": None}])
def test_connections_without_an_address_are_one(scope: Any) -> None:
    assert network_of(scope) == ""


async def asked(subject: Subject, *, key: str, host: str, content: str = "Hi") -> AsgiCall:
    messages = [{"role": "user", "content": content}]
    call = subject.call(key=key, headers={"idempotency-key": "1"}, stream=True, messages=messages)
    call.scope["client"] = (host, 1)
    with anyio.fail_after(10):
        await call.run(subject.gateway.app)
    return call


async def test_no_guest_is_told_another_s_answer_or_refused_for_its_key() -> None:
    runpod = answering()
    async with running(runpod, guest={}) as subject:
        await asked(subject, key="stranger", host="192.0.2.1")
        for key, host in (("stranger", "192.0.2.2"), ("other", "192.0.2.1")):
            call = await asked(subject, key=key, host=host)
            assert (call.status, call.headers.get("idempotent-replayed")) == (200, None)
            assert (await asked(subject, key=key + "-more", host=host, content="Bye")).status == 200
        assert runpod.count("run") == 5
        again = await asked(subject, key="stranger", host="192.0.2.1")
        assert again.headers["idempotent-replayed"] == "true"
