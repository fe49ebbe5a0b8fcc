from typing import Any

import pytest

from gateway.api import failed_keys
from gateway.api.auth import Key, KeyRing
from gateway.api.failed_keys import FailedKeys
from gateway.api.request_context import RequestContext
from gateway.config.keys import key_line
from gateway.connection_limits import Refusal
from gateway.errors import FailedKeysError, InvalidKeyError
from tests.factories import tenant
from tests.fakes.asgi import AsgiCall
from tests.fakes.clock import FakeClock
from tests.fakes.runpod import FakeRunpod
from tests.subject import CHAT, running


def test_so_many_a_minute_are_judged() -> None:
    subject = FailedKeys(6)
    assert [subject.fail("192.0.2.1", 100.0) for _ in range(6)] == [None] * 6
    assert subject.fail("192.0.2.1", 100.0) == pytest.approx(10.0)
    assert subject.fail("192.0.2.1", 105.0) == pytest.approx(5.0)
    assert subject.fail("192.0.2.1", 110.0) is None
    assert subject.fail("192.0.2.1", 110.0) == pytest.approx(10.0)
    assert [subject.fail("192.0.2.1", 1000.0) for _ in range(7)].count(None) == 6


def test_each_network_has_its_own() -> None:
    subject = FailedKeys(1)
    assert [subject.fail(network, 0.0) is None for network in ("192.0.2.1", "192.0.2.2", "192.0.2.1")] == [
        True,
        True,
        False,
    ]


def test_the_networks_remembered_are_bounded_and_those_that_fail_on_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failed_keys, "NETWORKS_MAX", 3)
    subject = FailedKeys(1)
    for number in range(100):
        subject.fail("192.0.2.1", 0.0)
        subject.fail(f"10.0.0.{number}", 0.0)
        assert len(subject._left) <= 3
    assert subject.fail("192.0.2.1", 0.0) is not None


def ring(told: list[Any], clock: FakeClock) -> KeyRing:
    digest = key_line("secret").removeprefix("sha256:")
    made = KeyRing([Key(sha256=digest, tenant=tenant())], clock, observe=told.append)
    made.limit_failures(2)
    return made


def ask(keys: KeyRing, key: str, address: str = "192.0.2.1") -> str:
    scope: Any = {"headers": [(b"x-api-key", key.encode())], "client": (address, 1234)}
    return keys.authenticate(scope, RequestContext()).tenant.name


def test_beyond_the_limit_a_wrong_key_is_refused_and_a_good_one_works() -> None:
    told: list[Any] = []
    clock = FakeClock()
    keys = ring(told, clock)
    for number in range(2):
        with pytest.raises(InvalidKeyError):
            ask(keys, f"wrong-{number}")
    with pytest.raises(FailedKeysError) as caught:
        ask(keys, "wrong")
    assert caught.value.retry_after_s == pytest.approx(30.0)
    assert ask(keys, "secret") == "acme"
    with pytest.raises(InvalidKeyError):
        ask(keys, "wrong", "192.0.2.2")
    assert [each.reason for each in told] == [Refusal.KEY, Refusal.KEY, Refusal.FAILED_KEYS, Refusal.KEY]
    clock.now_s += 30
    with pytest.raises(InvalidKeyError):
        ask(keys, "wrong")


def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    keys = ring([], FakeClock())
    for number in range(2):
        with pytest.raises(InvalidKeyError):
            ask(keys, "wrong", f"2001:db8:1:2::{number}")
    with pytest.raises(FailedKeysError):
        ask(keys, "wrong", "2001:db8:1:2:ffff::1")
    with pytest.raises(InvalidKeyError):
        ask(keys, "wrong", "2001:db8:1:3::1")


async def test_the_file_sets_the_limit_and_what_it_refuses_leaves_no_line_each() -> None:
    async with running(FakeRunpod(), clients={"failed_keys_per_minute": 2}) as subject:
        told: list[Any] = []
        subject.gateway._keys._observe = told.append
        statuses = []
        for _ in range(4):
            call = AsgiCall(CHAT, {"model": "m", "messages": []}, headers={"authorization": "Bearer wrong"})
            await call.run(subject.gateway.app)
            statuses.append(call.status)
        assert statuses == [401, 401, 429, 429]
        assert [each.reason for each in told] == [Refusal.FAILED_KEYS] * 2
        rendered = subject.gateway._metrics.render()[0].decode()
        assert 'gateway_requests_total{model="",outcome="rejected",route="",tenant=""} 2.0' in rendered
        assert 'outcome="refused",route' not in rendered
        assert call.headers["retry-after"] == "30"
