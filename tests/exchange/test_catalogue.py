import pytest

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, ModelKind
from gateway.domain import Endpoint, Model
from gateway.errors import InvalidRequestError, ModelForbiddenError, UnknownEndpointError, UnknownModelError
from gateway.exchange.catalogue import Catalogue
from tests.factories import endpoint, tenant


def model(model_id: str, kind: ModelKind | None = None, *, on: tuple[Endpoint, ...] = (endpoint(),)) -> Model:
    return Model(id=model_id, endpoints=on, upstream=f"real-{model_id}", kind=kind, label=model_id)


def catalogue(*models: Model) -> Catalogue:
    return Catalogue(models, [endpoint()])


ANYONE = tenant()
FIXED = catalogue(model("a"), model("e", ModelKind.EMBEDDING), model("c", ModelKind.CHAT))
OPEN = catalogue(model("a"), model("*"))


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
    assert FIXED.find_for(EMBEDDINGS, "e", ANYONE)
    assert FIXED.find_for(EMBEDDINGS, "a", ANYONE)
    assert FIXED.find_for(COMPLETIONS, "c", ANYONE)
    for api, name in ((CHAT_COMPLETIONS, "e"), (EMBEDDINGS, "c")):
        with pytest.raises(InvalidRequestError):
            FIXED.find_for(api, name, ANYONE)


def test_other_models_take_the_place_of_all() -> None:
    subject = catalogue(model("a"), model("b"))
    subject.replace([model("b"), model("c")], [endpoint()])
    assert [each.id for each in subject.listed(ANYONE)] == ["b", "c"]
    with pytest.raises(UnknownModelError):
        subject.find("a", ANYONE)


ONE, TWO, TWIN = endpoint(name="one", id="id1"), endpoint(name="two", id="id2"), endpoint(name="twin", id="id2")
ODD = endpoint(name="id1", id="id3")
"""Called as another one is known at Runpod."""
PLACED = Catalogue(
    [
        model("both", on=(ONE, TWO)),
        model("first", on=(ONE,)),
        model("second", ModelKind.EMBEDDING, on=(TWO,)),
        model("twins", on=(TWIN, ONE, TWO)),
        model("*", on=(TWO,)),
    ],
    [ONE, TWO, TWIN, ODD],
)


@pytest.mark.parametrize("known", ["id1", "id2", "id3", "one", "two", "twin"])
def test_an_endpoint_is_known_by_its_id_and_by_its_name(known: str) -> None:
    PLACED.check_endpoint(known)


@pytest.mark.parametrize("unknown", ["", "ID1", "id", "*", "three", "one ", "both"])
def test_any_other_endpoint_is_not(unknown: str) -> None:
    with pytest.raises(UnknownEndpointError) as caught:
        PLACED.check_endpoint(unknown)
    assert caught.value.endpoint == unknown


@pytest.mark.parametrize(
    ("at", "name", "served_by"),
    [
        ("id1", "both", ["one"]),
        ("one", "both", ["one"]),
        ("id2", "both", ["two"]),
        ("id2", "twins", ["twin", "two"]),
        ("twin", "twins", ["twin"]),
        ("two", "anything", ["two"]),
        (None, "both", ["one", "two"]),
        (None, "anything", ["two"]),
    ],
)
def test_a_model_is_served_at_the_endpoint_that_was_named(at: str | None, name: str, served_by: list[str]) -> None:
    found = PLACED.find(name, ANYONE, endpoint=at)
    assert [each.name for each in found.endpoints] == served_by
    assert found.id == name


@pytest.mark.parametrize(("at", "name"), [("id2", "first"), ("two", "first"), ("id1", "anything"), ("id3", "both")])
def test_a_model_elsewhere_is_unknown_there(at: str, name: str) -> None:
    """Beside a model `*` too: else a path could lead a name where its owner may not go."""
    with pytest.raises(UnknownModelError) as caught:
        PLACED.find(name, ANYONE, endpoint=at)
    assert (caught.value.model, caught.value.endpoint) == (name, at)


def test_an_endpoint_does_not_loosen_what_a_tenant_may_use() -> None:
    with pytest.raises(ModelForbiddenError):
        PLACED.find("both", tenant(models=("first",)), endpoint="id1")
    with pytest.raises(InvalidRequestError):
        PLACED.find_for(CHAT_COMPLETIONS, "second", ANYONE, endpoint="id2")


def test_the_models_of_an_endpoint_are_listed() -> None:
    listed = {at: [each.id for each in PLACED.listed(ANYONE, endpoint=at)] for at in ("id1", "two", "twin", "id3")}
    assert listed == {
        "id1": ["both", "first", "twins"],
        "two": ["both", "second", "twins"],
        "twin": ["twins"],
        "id3": [],
    }
    assert [each.id for each in PLACED.listed(tenant(models=("first",)), endpoint="id1")] == ["first"]


def test_endpoints_are_replaced_with_the_models() -> None:
    subject = Catalogue([model("a", on=(ONE,))], [ONE])
    subject.replace([model("a", on=(TWO,))], [TWO])
    assert subject.find("a", ANYONE, endpoint="id2").endpoints == (TWO,)
    with pytest.raises(UnknownEndpointError):
        subject.check_endpoint("id1")
