from typing import Any

from gateway.api.key_acceptance import Acceptance, accept, attach_acceptance


def test_the_server_is_told_whose_request_it_is() -> None:
    for is_guest in (False, True):
        scope: Any = {"type": "http"}
        acceptance = Acceptance()
        attach_acceptance(scope, acceptance)
        assert not acceptance.is_guest
        assert not acceptance.is_tenant
        accept(scope, "acme", is_guest=is_guest)
        assert (acceptance.is_guest, acceptance.is_tenant) == (is_guest, not is_guest)


def test_nobody_has_to_ask() -> None:
    scope: Any = {"type": "http"}
    accept(scope, "acme", is_guest=False)
    assert scope == {"type": "http"}
