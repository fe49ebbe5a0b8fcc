"""Which models there are, and who may ask for them."""

from collections.abc import Iterable

import msgspec

from gateway.domain import ANY, Api, Model, ModelKind, Tenant
from gateway.errors import InvalidRequestError, ModelForbiddenError, UnknownModelError

_KINDS = {
    Api.CHAT_COMPLETIONS: ModelKind.CHAT,
    Api.COMPLETIONS: ModelKind.CHAT,
    Api.EMBEDDINGS: ModelKind.EMBEDDING,
}


class Catalogue:
    """The configured models by name."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.replace(models)

    def replace(self, models: Iterable[Model]) -> None:
        """Other models from now on, all at once."""
        self._models = {model.id: model for model in models}

    def listed(self, tenant: Tenant) -> list[Model]:
        """The models that this tenant may name, in the order of the file."""
        return [model for model in self._models.values() if model.id != ANY and tenant.may_use(model.id)]

    def find(self, name: str, tenant: Tenant) -> Model:
        """The model of this name.

        Raises:
            UnknownModelError: There is none.
            ModelForbiddenError: The tenant's allow list does not name it.
        """
        model = self._models.get(name)
        if name == ANY or (model is None and ANY not in self._models):
            raise UnknownModelError(name)
        if not tenant.may_use(name):
            raise ModelForbiddenError(name)
        return model or msgspec.structs.replace(self._models[ANY], id=name, upstream=name)

    def find_for(self, api: Api, name: str, tenant: Tenant) -> Model:
        """The model of this name, if it does what is asked.

        Raises:
            InvalidRequestError: It does something else.
        """
        model = self.find(name, tenant)
        if model.kind not in {None, _KINDS[api]}:
            raise InvalidRequestError(f"The model '{model.id}' does not serve {api.value}.", param="model")
        return model
