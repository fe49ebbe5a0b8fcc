import pytest

from gateway.config.keys import key_line
from gateway.config.loader import ConfigError, key_digest
from gateway.config.quickstart import quickstart


def test_two_variables_are_enough() -> None:
    quick = quickstart({"RUNPOD_API_KEY": "rpa_x", "RUNPOD_ENDPOINT_ID": "abc"})
    config = quick.config
    assert (config.endpoints[0].id, config.endpoints[0].api_key) == ("abc", "rpa_x")
    assert config.models[0].id == "*"
    assert quick.new_key is not None
    assert key_digest(config.tenants[0].keys[0]) == key_line(quick.new_key).removeprefix("sha256:")


def test_a_given_key_is_not_made_anew() -> None:
    given = {"RUNPOD_API_KEY": "x", "RUNPOD_ENDPOINT_ID": "abc", "FAIRPOD_API_KEY": "mine"}
    quick = quickstart(given | {"RUNPOD_ENDPOINT_BASE_URL": "http://127.0.0.1:9000/v2"})
    assert quick.new_key is None
    assert quick.config.tenants[0].keys == [key_line("mine")]
    assert quick.config.endpoints[0].base_url == "http://127.0.0.1:9000/v2"


@pytest.mark.parametrize("given", [{}, {"RUNPOD_API_KEY": "x"}, {"RUNPOD_ENDPOINT_ID": "x", "RUNPOD_API_KEY": ""}])
def test_what_is_missing_is_named(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="set RUNPOD_"):
        quickstart(given)
