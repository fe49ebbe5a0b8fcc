"""The shapes of the custom resources that the chart makes.

Kubernetes' own schemas do not hold them: they belong to the Prometheus operator and to the Gateway API. What stands
here is the part of their definitions that the chart uses, closed, so that a misspelt field is found. It cannot find
what only their controllers check. The chart was held against both projects' own definitions, of August 2026, by hand.
"""

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION = {
    "type": "string",
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?)$",
}
_GATEWAY_DURATION = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any], count_min: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": count_min}


def _resource(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = _object({"name": _TEXT, "namespace": _TEXT, "labels": _TEXTS}, annotations=_TEXTS)
    return _object({"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec})


_RULE = {
    "oneOf": [
        _object(
            {"alert": _TEXT, "expr": _TEXT},
            **{"for": _DURATION, "keep_firing_for": _DURATION, "labels": _TEXTS, "annotations": _TEXTS},
        ),
        _object({"record": _TEXT, "expr": _TEXT}, labels=_TEXTS),
    ]
}

SHAPES: dict[str, dict[str, Any]] = {
    "ServiceMonitor": _resource(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        _object(
            {
                "selector": _object({"matchLabels": _TEXTS}),
                "endpoints": _list(
                    _object({"port": _TEXT, "path": _TEXT, "interval": _DURATION, "scrapeTimeout": _DURATION})
                ),
            },
            namespaceSelector=_object({"matchNames": _list(_TEXT)}),
        ),
    ),
    "PrometheusRule": _resource(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        _object({"groups": _list(_object({"name": _TEXT, "rules": _list(_RULE)}, interval=_DURATION), 0)}),
    ),
    "HTTPRoute": _resource(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        _object(
            {
                "parentRefs": _list(_object({"name": _TEXT}, namespace=_TEXT, sectionName=_TEXT)),
                "rules": _list(
                    _object(
                        {
                            "matches": _list(
                                _object({"path": _object({"type": {"const": "PathPrefix"}, "value": {"const": "/v1"}})})
                            ),
                            "timeouts": _object({"request": _GATEWAY_DURATION, "backendRequest": _GATEWAY_DURATION}),
                            "backendRefs": _list(_object({"name": _TEXT, "port": {"type": "integer"}})),
                        }
                    )
                ),
            },
            hostnames=_list(_TEXT),
        ),
    ),
}
