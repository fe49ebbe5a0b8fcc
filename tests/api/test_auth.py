from typing import Any

import httpx
import pytest

from gateway.admission.ref_counted_hold import hold_in_flight
from gateway.api.auth import Caller, Key, KeyRing, key_id
from gateway.api.key_acceptance import Acceptance, attach_acceptance
from gateway.api.request_context import RequestContext
from gateway.config.keys import key_line
from gateway.errors import InvalidKeyError
from gateway.exchange.record import Record
from tests.factories import tenant
from tests.fakes.clock import FakeClock
from tests.stacks import KEY, stack
from tests.subject import answering, running

CLOCK = FakeClock()


def ring(**changes: Any) -> KeyRing:
    digest = key_line("secret").removeprefix("sha256:")
    return KeyRing([Key(sha256=digest, tenant=tenant(requests_per_minute=3), **changes)], CLOCK)


def authenticate(keys: KeyRing, *headers: tuple[str, str]) -> str:
    scope: Any = {"headers": [(name.encode(), value.encode("latin-1")) for name, value in headers]}
    return keys.authenticate(scope, RequestContext()).tenant.name


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", "Bearer secret"),
        ("authorization", "bearer  secret "),
        ("api-key", "secret"),
        ("x-api-key", " secret "),
    ],
)
def test_a_key_names_its_tenant(header: tuple[str, str]) -> None:
    assert authenticate(ring(), header) == "acme"


@pytest.mark.parametrize(
    ("headers", "is_missing"),
    [
        ((), True),
        ((("authorization", "secret"),), True),
        ((("authorization", "Basic secret"),), True),
        ((("authorization", "Bearer"),), True),
        ((("authorization", "Bearer "),), True),
        ((("authorization", "Bearer Secret"),), False),
        ((("authorization", "Bearer \xff"),), False),
        ((("authorization", "Bearer " + key_line("secret")),), False),
        ((("api-key", ""), ("x-api-key", " ")), True),
        ((("x-api-key", "Secret"),), False),
        ((("x-api-key", "Bearer secret"),), False),
        ((("api-key", "Secret"),), False),
    ],
)
def test_anything_else_is_refused(headers: tuple[tuple[str, str], ...], is_missing: bool) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        authenticate(ring(), *headers)
    assert caught.value.is_missing is is_missing


def caller_of(keys: KeyRing, key: str, host: str) -> Caller:
    scope: Any = {"headers": [(b"authorization", f"Bearer {key}".encode())], "client": (host, 1)}
    return keys.authenticate(scope, RequestContext())


BEARER, AZURE, ANTHROPIC = ("authorization", "Bearer {}"), ("api-key", "{}"), ("x-api-key", "{}")


@pytest.mark.parametrize(
    ("first", "second"), [(BEARER, AZURE), (BEARER, ANTHROPIC), (AZURE, ANTHROPIC), (AZURE, AZURE)]
)
@pytest.mark.parametrize("keys", [("secret", "wrong"), ("wrong", "secret")])
@pytest.mark.parametrize("is_turned", [False, True])
def test_of_several_keys_the_first_by_name_counts(
    first: tuple[str, str], second: tuple[str, str], keys: tuple[str, str], is_turned: bool
) -> None:
    headers = [(name, form.format(key)) for (name, form), key in zip((first, second), keys, strict=True)]
    if is_turned and first != second:
        headers.reverse()
    if keys[0] == "secret":
        assert authenticate(ring(), *headers) == "acme"
    else:
        with pytest.raises(InvalidKeyError):
            authenticate(ring(), *headers)


def test_another_scheme_beside_a_key_is_no_key() -> None:
    """A proxy before the gateway may have used the header for itself."""
    assert authenticate(ring(), ("authorization", "Basic dXNlcjpw"), ("x-api-key", "secret")) == "acme"


def test_an_expired_key_is_refused() -> None:
    header = ("authorization", "Bearer secret")
    assert authenticate(ring(expires_at_s=CLOCK.unix_s() + 1), header) == "acme"
    with pytest.raises(InvalidKeyError) as caught:
        authenticate(ring(expires_at_s=CLOCK.unix_s()), header)
    assert not caught.value.is_missing


def test_the_keys_of_a_tenant_share_its_caps() -> None:
    who = tenant(requests_per_minute=3)
    keys = KeyRing([Key(sha256=key_line(name).removeprefix("sha256:"), tenant=who) for name in ("a", "b")], CLOCK)
    notes = [RequestContext(), RequestContext()]
    for name, each in zip(("a", "b"), notes, strict=True):
        scope: Any = {"headers": [(b"authorization", b"Bearer " + name.encode())]}
        keys.authenticate(scope, each)
    assert notes[0].quota is notes[1].quota


def test_strangers_share_one_guest_tenant_where_there_is_one() -> None:
    guest = tenant(name="guest")
    keys = KeyRing(
        [Key(sha256=key_line("secret").removeprefix("sha256:"), tenant=tenant(name="acme"))], CLOCK, guest=guest
    )
    callers = [caller_of(keys, key, host) for key, host in (("secret", "::1"), ("x", "192.0.2.1"), ("y", "192.0.2.2"))]
    assert [caller.tenant.name for caller in callers] == ["acme", "guest", "guest"]
    # Two strangers take turns within it.
    assert callers[1].quota is callers[2].quota
    assert callers[1].member != callers[2].member
    with pytest.raises(InvalidKeyError):
        keys.authenticate({"headers": []}, RequestContext())  # type: ignore[typeddict-item]


def test_a_stranger_has_one_turn_whatever_keys_it_makes_up() -> None:
    keys = KeyRing([], CLOCK, guest=tenant(name="guest"))
    assert len({caller_of(keys, f"key-{number}", "192.0.2.1").member for number in range(10)}) == 1
    assert len({caller_of(keys, f"key-{number}", f"2001:db8::{number}").member for number in range(10)}) == 1


def test_a_tenant_s_keys_take_turns_wherever_they_come_from() -> None:
    keys = KeyRing([Key(sha256=digest_of(key), tenant=tenant()) for key in ("a", "b")], CLOCK)
    assert caller_of(keys, "a", "192.0.2.1").member == caller_of(keys, "a", "192.0.2.2").member
    assert caller_of(keys, "a", "192.0.2.1").member != caller_of(keys, "b", "192.0.2.1").member


def test_a_stranger_s_answers_are_repeated_for_the_same_key_and_network_alone() -> None:
    tenants = [Key(sha256=digest_of(key), tenant=tenant(name="acme")) for key in ("a", "b")]
    keys = KeyRing(tenants, CLOCK, guest=tenant(name="guest"))
    assert caller_of(keys, "a", "192.0.2.1").repeater == caller_of(keys, "b", "192.0.2.2").repeater
    first = caller_of(keys, "x", "192.0.2.1").repeater
    assert first == caller_of(keys, "x", "192.0.2.1").repeater
    assert first != caller_of(keys, "x", "192.0.2.2").repeater
    assert first != caller_of(keys, "y", "192.0.2.1").repeater
    assert "x\0" not in first


def test_an_expired_key_of_a_tenant_is_no_guest() -> None:
    expired = Key(sha256=key_line("old").removeprefix("sha256:"), tenant=tenant(name="acme"), expires_at_s=0)
    keys = KeyRing([expired], CLOCK, guest=tenant(name="guest"))
    with pytest.raises(InvalidKeyError):
        authenticate(keys, ("authorization", "Bearer old"))


def digest_of(key: str) -> str:
    return key_line(key).removeprefix("sha256:")


def bearer(key: str) -> tuple[str, str]:
    return "authorization", f"Bearer {key}"


def test_a_key_that_is_taken_out_is_refused_from_then_on() -> None:
    keys = ring()
    keys.replace([Key(sha256=digest_of("new"), tenant=tenant())], guest=None)
    assert authenticate(keys, bearer("new")) == "acme"
    with pytest.raises(InvalidKeyError):
        authenticate(keys, bearer("secret"))
    keys.replace([], guest=tenant(name="guest"))
    assert authenticate(keys, bearer("new")) == "guest"


def test_whoever_stays_keeps_its_quota_and_whoever_goes_until_it_is_unused() -> None:
    clock = FakeClock()
    keys = KeyRing([Key(sha256=digest_of("secret"), tenant=tenant(requests_per_minute=60))], clock)
    quota = keys.quotas["acme"]
    hold_in_flight(quota, clock).release()
    keys.replace([Key(sha256=digest_of("new"), tenant=tenant(requests_per_minute=120))], guest=None)
    assert keys.quotas["acme"] is quota
    keys.replace([], guest=None)
    assert keys.quotas == {"acme": quota}
    clock.now_s += 60
    keys.replace([], guest=None)
    assert keys.quotas == {}


@pytest.mark.server
def test_a_401_says_how_to_send_a_key() -> None:
    with stack() as running:
        for method, path in (("GET", "/models"), ("POST", "/chat/completions"), ("GET", "/nothing")):
            missing = httpx.request(method, running.base_url + path)
            bad = httpx.request(method, running.base_url + path, headers={"authorization": "Bearer nobody"})
            assert missing.status_code == bad.status_code == 401
            assert missing.headers["www-authenticate"] == 'Bearer realm="fairpod"'
            assert bad.headers["www-authenticate"] == 'Bearer realm="fairpod", error="invalid_token"'


@pytest.mark.parametrize("name", ["api-key", "x-api-key"])
async def test_a_key_in_a_header_of_its_own_serves_and_is_not_passed_on(name: str) -> None:
    runpod = answering()
    async with running(runpod) as subject:
        call = subject.call(headers={name: KEY}, stream=True)
        call.scope["headers"] = [each for each in call.scope["headers"] if each[0] != b"authorization"]
        await call.run(subject.gateway.app)
    assert call.status == 200
    assert runpod.headers
    assert not [sent for sent in runpod.headers if KEY in repr(sent) or name in sent]


def test_a_wrong_key_is_told_of_where_no_exchange_tells_of_it() -> None:
    told: list[Any] = []
    keys = KeyRing([Key(sha256="0" * 64, tenant=tenant())], CLOCK, observe=told.append)
    with pytest.raises(InvalidKeyError):
        authenticate(keys, ("authorization", "Bearer wrong"))
    with pytest.raises(InvalidKeyError):
        authenticate(keys)
    assert [(each.reason, each.key_id) for each in told] == [
        ("invalid_api_key", key_id(key_line("wrong").removeprefix("sha256:"))),
        ("invalid_api_key", ""),
    ]
    assert len({each.request_id for each in told}) == 2


def test_of_a_request_for_a_completion_its_exchange_tells() -> None:
    told: list[Any] = []
    keys = KeyRing([Key(sha256="0" * 64, tenant=tenant())], CLOCK, observe=told.append)
    notes = RequestContext()
    notes.record = Record(request_id="r", clock=CLOCK)
    scope: Any = {"headers": [(b"x-api-key", b"wrong")]}
    with pytest.raises(InvalidKeyError):
        keys.authenticate(scope, notes)
    assert told == []
    assert notes.record.key_id


@pytest.mark.parametrize("is_guest", [False, True])
def test_the_server_is_told_that_a_key_was_accepted(is_guest: bool) -> None:
    guest = tenant(name="guest")
    keys = KeyRing([Key(sha256=key_line("secret").removeprefix("sha256:"), tenant=tenant())], CLOCK, guest=guest)
    scope: Any = {"headers": [(b"x-api-key", b"other" if is_guest else b"secret")]}
    claimed: list[str] = []
    acceptance = Acceptance(claimed.append)
    attach_acceptance(scope, acceptance)
    keys.authenticate(scope, RequestContext())
    assert (acceptance.is_guest, acceptance.is_tenant) == (is_guest, not is_guest)
    assert claimed == ["guest" if is_guest else "acme"]
