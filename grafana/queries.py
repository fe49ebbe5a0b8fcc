"""PromQL, put together from its few recurring forms. Metric names are written without the prefix `gateway_`."""

TENANT = 'tenant=~"$tenant"'
MODEL = 'model=~"$model"'
ENDPOINT = 'endpoint=~"$endpoint"'
WINDOW = "$__rate_interval"
FAILED = 'outcome=~"upstream_failed|broken"'
LET_IN = 'outcome!~"refused|rejected"'
"""Whoever was turned away says nothing about how well requests are served."""


def series(metric: str, *matchers: str) -> str:
    """The series of a metric that match."""
    return f"gateway_{metric}{{{', '.join(matchers)}}}" if matchers else f"gateway_{metric}"


def rate(metric: str, *matchers: str, window: str = WINDOW) -> str:
    """How fast a counter grows, per second."""
    return f"rate({series(metric, *matchers)}[{window}])"


def growth(metric: str, *matchers: str) -> str:
    """By how much a counter grew in the time that the dashboard shows."""
    return f"increase({series(metric, *matchers)}[$__range])"


def total(expression: str, by: str = "") -> str:
    """The sum over all processes, by some labels or of everything."""
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def quantile(of: float, metric: str, *matchers: str, by: str = "") -> str:
    """A quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({of}, {total(rate(f'{metric}_bucket', *matchers), by=labels)})"


def mean(metric: str, *matchers: str) -> str:
    """The mean of a histogram."""
    return f"{total(rate(f'{metric}_sum', *matchers))} / {total(rate(f'{metric}_count', *matchers))}"


def named(expression: str, label: str, name: str) -> str:
    """A name for the series whose label is empty."""
    return f'label_replace({expression}, "{label}", "{name}", "{label}", "")'


def of_gateways(expression: str) -> str:
    """Only of the processes that are gateways: every target of Prometheus has these metrics."""
    return f"{expression} and on (job, instance) gateway_build_info"
