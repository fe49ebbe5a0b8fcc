import pytest

from gateway.endpoints.mean_times import MeanTimes


def test_the_mean_follows_the_last_requests() -> None:
    means = MeanTimes()
    assert means.mean_s("acme", "chat") is None
    means.note("acme", "chat", 10.0)
    assert means.mean_s("acme", "chat") == 10.0
    for _ in range(60):
        means.note("acme", "chat", 20.0)
    assert means.mean_s("acme", "chat") == pytest.approx(20.0, rel=0.01)
    assert means.mean_s("acme", "other") is None
    assert means.mean_s("b", "chat") is None
