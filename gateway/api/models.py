"""GET /v1/models, answered here: asking the endpoint would wake, and bill, a worker."""

from litestar import MediaType, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.api.auth import KeyRing
from gateway.api.notes import AnyRequest, notes_of
from gateway.api.operations import READ
from gateway.exchange.catalogue import Catalogue
from gateway.wire.openai import ModelCard, ModelList, encode

OWNER = "fairpod"
PATHS = ["/v1/models", "/models", "/v2/{endpoint_id:str}/openai/v1/models"]


class Models:
    """The models that a key may use."""

    def __init__(self, *, keys: KeyRing, catalogue: Catalogue, created_s: int) -> None:
        self._keys = keys
        self._catalogue = catalogue
        self._created_s = created_s

    def routes(self) -> list[HTTPRouteHandler]:
        """The list and the single model; ids may hold slashes, escaped or not."""

        @route(PATHS, http_method=READ)
        async def list_models(request: AnyRequest) -> Response[bytes]:
            tenant = self._keys.authenticate(request.scope, notes_of(request.scope)).tenant
            cards = [self._card(model.id) for model in self._catalogue.listed(tenant)]
            return _json(encode(ModelList(data=cards)))

        @route([f"{path}/{{model_id:path}}" for path in PATHS], http_method=READ)
        async def retrieve_model(request: AnyRequest, model_id: FromPath[str]) -> Response[bytes]:
            tenant = self._keys.authenticate(request.scope, notes_of(request.scope)).tenant
            model = self._catalogue.find(model_id.removeprefix("/"), tenant)
            return _json(encode(self._card(model.id)))

        return [list_models, retrieve_model]

    def _card(self, model_id: str) -> ModelCard:
        return ModelCard(id=model_id, created=self._created_s, owned_by=OWNER)


def _json(body: bytes) -> Response[bytes]:
    return Response(body, media_type=MediaType.JSON)
