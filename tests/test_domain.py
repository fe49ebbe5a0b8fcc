from gateway.domain import Secret


def test_a_secret_shows_nothing_of_itself() -> None:
    secret = Secret("rpa_hidden")
    assert (f"{secret}", f"{secret!r}", [secret].__repr__()) == ("Secret(…)", "Secret(…)", "[Secret(…)]")
    assert secret.reveal() == "rpa_hidden"
