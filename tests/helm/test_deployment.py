"""What a pod may do, how it stops, and where its keys come from."""

from typing import Any

import msgspec
import pytest

from gateway import __version__
from gateway.config.schema import METRICS_PORT, Config, Listen
from gateway.exchange.drain_plan import FLUSH_S, SLACK
from gateway.server.run import SHUTDOWN_S_MAX
from tests.helm.chart import ROOT, Rendered, chart, render, values_of, with_values
from tests.helm.test_manifests import CASES


@pytest.fixture(scope="module", params=CASES)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(values_of(request.param))


def test_every_container_is_locked_down(rendered: Rendered) -> None:
    pod = rendered.pod
    containers = [*pod["containers"], *pod.get("initContainers", []), *pod.get("ephemeralContainers", [])]
    assert len(containers) == 1
    for container in containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert all(mount["readOnly"] for mount in container["volumeMounts"] if mount["mountPath"] != "/tmp")  # noqa: S108
        assert not any("hostPort" in port for port in container["ports"])


def test_every_pod_is_locked_down(rendered: Rendered) -> None:
    pod = rendered.pod
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "hostUsers"}
    assert all(each.keys() - {"name"} <= {"configMap", "secret", "emptyDir"} for each in pod["volumes"])
    assert all(each["secret"]["defaultMode"] == 0o440 for each in pod["volumes"] if "secret" in each)
    for account in rendered.all("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_the_user_is_the_one_of_the_image() -> None:
    assert "USER 10001" in (ROOT / "Dockerfile").read_text()


def test_the_version_is_the_gateways() -> None:
    assert chart().metadata["appVersion"] == __version__
    assert render(values_of("minimal")).container["image"] == f"fairpod:{__version__}"
    tagged = render(with_values("minimal", "image.tag=edge,image.repository=here/fairpod"))
    assert tagged.container["image"] == "here/fairpod:edge"
    digest = f"sha256:{'0' * 64}"
    pinned = render(with_values("minimal", f"image.tag=edge,image.digest={digest}"))
    assert pinned.container["image"] == f"fairpod@{digest}"


def test_a_pod_has_the_time_that_it_needs_to_stop(rendered: Rendered) -> None:
    drain_s = (
        rendered.config.get("drain_s", 30)
        if [each for each in rendered.all("ConfigMap") if "fairpod.yaml" in each["data"]]
        else 120.5
    )
    pre_stop_s = rendered.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed_s = pre_stop_s + drain_s + FLUSH_S * (1 + SLACK) + SHUTDOWN_S_MAX
    assert needed_s + 5 <= rendered.pod["terminationGracePeriodSeconds"] <= needed_s + 6


def test_a_pod_with_many_seats_has_the_time_to_cancel_their_jobs() -> None:
    """Runpod takes 100 cancels in 10 s, a little less than that evenly: 1000 seats need 102 s, from the drain on."""
    own = "config.drain_s=30,config.endpoints[0].name=chat,config.endpoints[0].id=e"
    own += ",config.endpoints[0].api_key=${RUNPOD_API_KEY},config.endpoints[0].max_in_flight="
    wide = "config.endpoints[0].limits.cancel.per_10s=1000,config.endpoints[0].limits.cancel.concurrent=100"
    seats = ("200", "1000", f"1000,{wide}")
    few, many, quick = (render(with_values("everything", own + each)) for each in seats)
    grace_s = [each.pod["terminationGracePeriodSeconds"] for each in (few, many, quick)]
    assert (grace_s[1] - grace_s[0], grace_s[2]) == (102 + 15 - 30 - 25, grace_s[0])


def test_what_the_chart_takes_for_granted_is_the_gateways_default() -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(Config)}
    assert (defaults["drain_s"], defaults["metrics_port"], Listen().port) == (30, 9464, 8080)
    assert chart().values["existingConfig"]["metricsPort"] == METRICS_PORT
    assert render(values_of("minimal")).container["ports"] == [
        {"name": "http", "containerPort": 8080},
        {"name": "metrics", "containerPort": METRICS_PORT},
    ]


def test_probes_ask_what_costs_nothing(rendered: Rendered) -> None:
    container = rendered.container
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_roll_takes_no_seat_away(rendered: Rendered) -> None:
    assert rendered.one("Deployment")["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }


def test_a_budget_lets_nodes_be_drained(rendered: Rendered) -> None:
    budget = rendered.one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] >= 1
    assert "minAvailable" not in budget
    # Else a pod that never gets ready holds its node for ever.
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_pods_spread() -> None:
    keys = [each["topologyKey"] for each in render(values_of("minimal")).pod["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def checksum(rendered: Rendered) -> str | None:
    annotations: dict[str, str] = rendered.one("Deployment")["spec"]["template"]["metadata"].get("annotations", {})
    return annotations.get("checksum/config")


def test_a_changed_configuration_rolls_the_pods() -> None:
    before = render(values_of("minimal"))
    assert checksum(before)
    assert checksum(render(with_values("minimal", "config.drain_s=31"))) != checksum(before)
    assert checksum(render(with_values("minimal", "podLabels.team=ml"))) == checksum(before)
    assert checksum(render(values_of("existing-configmap"))) is None


def test_an_existing_configmap_is_used() -> None:
    rendered = render(values_of("existing-configmap"))
    assert rendered.all("ConfigMap") == []
    assert rendered.pod["volumes"][0]["configMap"] == {
        "name": "my-fairpod",
        "items": [{"key": "production.yaml", "path": "fairpod.yaml"}],
    }
    assert rendered.container["ports"] == [
        {"name": "http", "containerPort": 8000},
        {"name": "metrics", "containerPort": 9100},
    ]
    assert rendered.pod["serviceAccountName"] == "fairpod-runner"
    annotations = rendered.one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"example.com/config-version": "7"}


def test_keys_come_from_secrets_alone(rendered: Rendered) -> None:
    for variable in rendered.container.get("env", []):
        if variable["name"] == "REDIS_URL" and "value" in variable:
            assert "@" not in variable["value"]
        else:
            assert variable.keys() == {"name", "valueFrom"}
            assert variable["valueFrom"].keys() == {"secretKeyRef"}
    for source in rendered.container.get("envFrom", []):
        assert "secretRef" in source
    assert rendered.all("Secret") == []


def test_existing_secrets_arrive_as_variables_and_files() -> None:
    rendered = render(values_of("existing-secrets"))
    assert environment(rendered) == {
        "RUNPOD_API_KEY": ("runpod", "RUNPOD"),
        "OTHER_RUNPOD_KEY": ("other.account", "token"),
    }
    assert rendered.container["envFrom"] == [{"secretRef": {"name": "more"}, "prefix": "MORE_"}]
    mounts = {each["name"]: each["mountPath"] for each in rendered.container["volumeMounts"]}
    assert rendered.config["endpoints"][2]["api_key_file"] == f"{mounts['secret-third']}/api-key"


def environment(rendered: Rendered) -> dict[str, tuple[str, str]]:
    references = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in rendered.container["env"]}
    return {name: (each["name"], each["key"]) for name, each in references.items()}


def test_replicas_share_a_store_over_tls() -> None:
    rendered = render(values_of("replicas-redis"))
    assert rendered.one("Deployment")["spec"]["replicas"] == 3
    assert environment(rendered)["REDIS_URL"] == ("valkey", "url")
    mounts = {each["name"]: each["mountPath"] for each in rendered.container["volumeMounts"]}
    assert rendered.config["state"] == {
        "kind": "redis",
        "url": f"${{REDIS_URL}}?ssl_ca_certs={mounts['redis-ca']}/ca.crt",
        "on_outage": "closed",
    }
    volume = next(each for each in rendered.pod["volumes"] if each["name"] == "redis-ca")
    assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rediss://valkey:6380", "${REDIS_URL}?ssl_ca_certs=/etc/fairpod-redis/ca.crt"),
        ("rediss://valkey:6380/2?socket_timeout=1", "${REDIS_URL}&ssl_ca_certs=/etc/fairpod-redis/ca.crt"),
    ],
)
def test_the_authority_joins_the_url(url: str, expected: str) -> None:
    values = values_of("replicas-redis")
    values["state"]["redis"] |= {"existingSecret": "", "url": url}
    assert render(values).config["state"]["url"] == expected
    values["state"]["redis"]["tls"]["caInUrl"] = True
    assert render(values).config["state"]["url"] == "${REDIS_URL}"


def test_redis_reads_the_authority_from_the_url() -> None:
    from redis.asyncio.connection import parse_url

    rendered = render(values_of("replicas-redis"))
    url = rendered.config["state"]["url"].replace("${REDIS_URL}", "rediss://:password@valkey:6380/0")
    parsed: dict[str, Any] = dict(parse_url(url))
    assert parsed["ssl_ca_certs"] == "/etc/fairpod-redis/ca.crt"
    assert parsed["password"] == "password"
    assert parsed["connection_class"].__name__ == "SSLConnection"


def test_an_autoscaler_owns_the_number_of_replicas() -> None:
    rendered = render(values_of("everything"))
    assert "replicas" not in rendered.one("Deployment")["spec"]
    scaler = rendered.one("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == rendered.one("Deployment")["metadata"]["name"]
    assert [each["type"] for each in scaler["metrics"]] == ["Resource", "Pods"]
    assert scaler["metrics"][1]["pods"]["metric"]["name"] == "fairpod_queued_requests"
    queued = chart().values["autoscaling"]["queuedRequests"]
    assert (queued["enabled"], queued["metric"]) == (False, "gateway_queued_requests")
