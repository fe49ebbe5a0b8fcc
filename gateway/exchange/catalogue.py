"""Look up models by name: which exist, which tenants may use them, and which endpoints serve them."""

from collections.abc import Iterable

import msgspec

from gateway.apis import Api
from gateway.domain import ANY, Endpoint, Model, Tenant
from gateway.errors import InvalidRequestError, ModelForbiddenError, UnknownEndpointError, UnknownModelError


class Catalogue:
    """Hold the configured models by name, and their endpoints.

    With `endpoint`, a Runpod id or a configured name, the methods know only the models on that endpoint. It narrows the
    result for a name and never widens it: a name that leads elsewhere is unknown there, even if there is a model `*`.
    """

    def __init__(self, models: Iterable[Model], endpoints: Iterable[Endpoint]) -> None:
        self.replace(models, endpoints)

    def replace(self, models: Iterable[Model], endpoints: Iterable[Endpoint]) -> None:
        """Replace all models and endpoints at once."""
        self._models = {model.id: model for model in models}
        named = list(endpoints)
        # Several entries may share an id, with their own keys. An id takes precedence over an equal name.
        self._endpoints = {endpoint.name: {endpoint.name} for endpoint in named}
        self._endpoints |= {each.id: {other.name for other in named if other.id == each.id} for each in named}

    def check_endpoint(self, endpoint: str) -> None:
        """Check that an endpoint is configured.

        Raises:
            UnknownEndpointError: It is not configured.
        """
        if endpoint not in self._endpoints:
            raise UnknownEndpointError(endpoint)

    def listed(self, tenant: Tenant, *, endpoint: str | None = None) -> list[Model]:
        """Return the models that this tenant may use, in the order of the configuration file."""
        may_name = [model for model in self._models.values() if model.id != ANY and tenant.may_use(model.id)]
        return [model for model in may_name if endpoint is None or self._on(endpoint, model)]

    def find(self, name: str, tenant: Tenant, *, endpoint: str | None = None) -> Model:
        """Return the model of this name; with `endpoint`, with only its endpoints that this id or name means.

        Raises:
            UnknownModelError: There is no such model, or `endpoint` does not serve it.
            ModelForbiddenError: The tenant's allow list does not include it.
        """
        model = self._models.get(name)
        if name == ANY or (model is None and ANY not in self._models):
            raise UnknownModelError(name, endpoint=endpoint)
        if not tenant.may_use(name):
            raise ModelForbiddenError(name)
        found = model or msgspec.structs.replace(self._models[ANY], id=name, upstream=name)
        if endpoint is None:
            return found
        if not (endpoints := self._on(endpoint, found)):
            raise UnknownModelError(name, endpoint=endpoint)
        return msgspec.structs.replace(found, endpoints=endpoints)

    def find_for(self, api: Api, name: str, tenant: Tenant, *, endpoint: str | None = None) -> Model:
        """Return the model of this name, if its kind serves this API.

        Raises:
            InvalidRequestError: It is of another kind.
        """
        model = self.find(name, tenant, endpoint=endpoint)
        if model.kind not in {None, api.kind}:
            raise InvalidRequestError(f"The model '{model.id}' does not support {api.path}.", param="model")
        return model

    def _on(self, endpoint: str, model: Model) -> tuple[Endpoint, ...]:
        """Return the model's endpoints that this id or name means."""
        names = self._endpoints.get(endpoint, set())
        return tuple(each for each in model.endpoints if each.name in names)
