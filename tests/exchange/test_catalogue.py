import pytest

from gateway.domain import Api, Model, ModelKind
from gateway.errors import InvalidRequestError, ModelForbiddenError, UnknownModelError
from gateway.exchange.catalogue import Catalogue
from tests.factories import endpoint, tenant


def model(model_id: str, kind: ModelKind | None = None) -> Model:
    return Model(id=model_id, endpoints=(endpoint(),), upstream=f"real-{model_id}", kind=kind, label=model_id)


ANYONE = tenant()
FIXED = Catalogue([model("a"), model("e", ModelKind.EMBEDDING), model("c", ModelKind.CHAT)])
OPEN = Catalogue([model("a"), model("*")])


def test_a_configured_name_is_found() -> None:
    assert FIXED.find("a", ANYONE).upstream == "real-a"
    assert OPEN.find("a", ANYONE).upstream == "real-a"


def test_any_other_name_passes_where_the_file_allows_it() -> None:
    found = OPEN.find("org/new", ANYONE)
    assert (found.id, found.upstream, found.label) == ("org/new", "org/new", "*")
    with pytest.raises(UnknownModelError):
        FIXED.find("org/new", ANYONE)


def test_the_star_is_no_name() -> None:
    with pytest.raises(UnknownModelError):
        OPEN.find("*", ANYONE)
    assert [each.id for each in OPEN.listed(ANYONE)] == ["a"]


def test_an_allow_list_holds() -> None:
    limited = tenant(models=("a",))
    assert FIXED.find("a", limited)
    assert [each.id for each in FIXED.listed(limited)] == ["a"]
    with pytest.raises(ModelForbiddenError):
        FIXED.find("c", limited)
    with pytest.raises(ModelForbiddenError):
        OPEN.find("anything", limited)


def test_a_model_does_what_it_is_for() -> None:
    assert FIXED.find_for(Api.EMBEDDINGS, "e", ANYONE)
    assert FIXED.find_for(Api.EMBEDDINGS, "a", ANYONE)
    assert FIXED.find_for(Api.COMPLETIONS, "c", ANYONE)
    for api, name in ((Api.CHAT_COMPLETIONS, "e"), (Api.EMBEDDINGS, "c")):
        with pytest.raises(InvalidRequestError):
            FIXED.find_for(api, name, ANYONE)


def test_other_models_take_the_place_of_all() -> None:
    subject = Catalogue([model("a"), model("b")])
    subject.replace([model("b"), model("c")])
    assert [each.id for each in subject.listed(ANYONE)] == ["b", "c"]
    with pytest.raises(UnknownModelError):
        subject.find("a", ANYONE)
