import pytest

from gateway.commands.serve import PORT_MAX, check_start
from gateway.config.loader import ConfigError, parse_config
from tests.stacks import config_of


@pytest.mark.parametrize("port", [-1, PORT_MAX + 1, 99999])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    config = parse_config(config_of("http://127.0.0.1:1"), {})
    with pytest.raises(ConfigError) as refused:
        check_start(config, port=port)
    assert [problem.path for problem in refused.value.problems] == ["--port"]


@pytest.mark.parametrize("port", [0, 1, PORT_MAX])
def test_every_port_there_is_may_be_given(port: int) -> None:
    check_start(parse_config(config_of("http://127.0.0.1:1"), {}), port=port)
