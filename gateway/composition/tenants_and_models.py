"""Convert the keys, tenants and models of the configuration into the types of the modules that use them."""

from collections.abc import Iterator, Mapping

from gateway.api.auth import Key
from gateway.config.loader import key_digest
from gateway.config.schema import Config
from gateway.config.to_domain import model_of, tenant_of, unix_s
from gateway.domain import Endpoint, Model, Tenant


def keys_of(config: Config) -> Iterator[Key]:
    """Yield the keys of all tenants."""
    for section in config.tenants:
        tenant = tenant_of(section)
        for key in section.keys:
            expires_at = None if isinstance(key, str) else key.expires_at
            yield Key(
                sha256=key_digest(key),
                tenant=tenant,
                expires_at_s=unix_s(expires_at) if expires_at else None,
                label=None if isinstance(key, str) else key.label,
            )


def guest_of(config: Config) -> Tenant | None:
    """Return the tenant of all keys that are not configured; None if such keys are rejected."""
    return None if config.guest is None else tenant_of(config.guest)


def models_of(config: Config, endpoints: Mapping[str, Endpoint]) -> list[Model]:
    """Return the models, each with its endpoints, looked up by name in `endpoints`."""
    return [model_of(section, endpoints) for section in config.models]


def weights_of(config: Config) -> dict[str, float]:
    """Return the weight of each tenant by name, including the guest tenant."""
    weights = {section.name: section.weight for section in config.tenants}
    if config.guest is not None:
        weights[config.guest.name] = config.guest.weight
    return weights
