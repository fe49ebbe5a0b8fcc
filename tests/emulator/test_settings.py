import msgspec
import pytest

from gateway.emulator.limits import Limit
from gateway.emulator.settings import Dialect, EmulatorSettings


def test_the_defaults_are_the_published_values():
    settings = EmulatorSettings()
    assert (settings.run_retention_s, settings.sync_retention_s) == (1800.0, 60.0)
    assert (settings.ttl_s, settings.ttl_s_min) == (86_400.0, 10.0)
    assert (settings.execution_timeout_s, settings.execution_timeout_s_min) == (600.0, 5.0)
    assert (settings.stream_wait_s, settings.sync_wait_s, settings.wait_s_min, settings.wait_s_max) == (10, 90, 1, 300)
    assert (settings.run_body_bytes_max, settings.sync_body_bytes_max) == (10 * 2**20, 20 * 2**20)


def test_health_is_the_harder_one_by_default():
    settings = EmulatorSettings()
    assert (settings.standby_workers, settings.idle_shown, settings.idle_timeout_s) == (2, "swinging", 5.0)
    assert (settings.standby_swings, settings.prestart_s) == (False, 0.0)


def test_settings_can_be_read_from_json_and_misspelt_ones_are_refused():
    settings = msgspec.json.decode(b'{"dialect":"tokens","limits":{"run":{"per_10s":5}}}', type=EmulatorSettings)
    assert (settings.dialect, settings.limits) == (Dialect.TOKENS, {"run": Limit(per_10s=5)})
    with pytest.raises(msgspec.ValidationError, match="dialekt"):
        msgspec.json.decode(b'{"dialekt":"tokens"}', type=EmulatorSettings)
