"""Places: URLs as a place and a key, and the options of a place."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from fsspec_store.cli.place import (
    Place,
    place_at,
    place_parameters,
    share_options,
    shared_parameters,
)
from fsspec_store.errors import StoreURLError


def place(url: str, name: str = "place", **given: Any) -> Place:
    values = {
        parameter.name: None if parameter.default is parameter.empty else parameter.default
        for parameter in place_parameters(name)
    }
    values[f"{name}_url"] = url
    values.update({f"{name}_{option}": value for option, value in given.items()})
    found = place_at(name, values)
    assert values == {}
    return found


@pytest.mark.parametrize(
    ("url", "above", "key"),
    [
        ("a", ".", "a"),
        ("a/b", "a", "b"),
        ("./a", ".", "a"),
        ("../a/b.zarr", "../a", "b.zarr"),
        ("/a", "/", "a"),
        ("/a/b", "/a", "b"),
        ("file:///a", "file:///", "a"),
        ("file:///a/b", "file:///a", "b"),
        ("memory://a/b", "memory://a", "b"),
        ("s3://bucket/key", "s3://bucket", "key"),
        ("s3://bucket/a b/50%?#", "s3://bucket/a b", "50%?#"),
        ("az://container@account/a/b", "az://container@account/a", "b"),
        ("https://[::1]:8000/a/b", "https://[::1]:8000/a", "b"),
        ("https://host/a/b%20c?sig=x/y", "https://host/a?sig=x/y", "b c"),
        ("zip://a/b::s3://bucket/c.zip", "zip://a::s3://bucket/c.zip", "b"),
        ("zip://b::s3://bucket/c.zip", "zip://::s3://bucket/c.zip", "b"),
        ("simplecache::s3://bucket/a/b", "simplecache://::s3://bucket/a", "b"),
    ],
)
def test_a_url_is_a_place_and_a_key(url: str, above: str, key: str) -> None:
    found = place(url).split()
    assert (found.place.url, found.key) == (above, key)


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/a/", "https://host", "/", "a/", "file:///", "s3://b//a"]
)
def test_a_url_that_names_no_key(url: str) -> None:
    with pytest.raises(StoreURLError, match=r"names no key|empty name"):
        place(url).split()


@pytest.mark.parametrize(("url", "above"), [("s3://b/a/", "s3://b"), ("a//", "."), ("/a/", "/")])
def test_a_prefix_may_end_in_a_slash(url: str, above: str) -> None:
    found = place(url).split(is_prefix=True)
    assert (found.place.url, found.key) == (above, "a")


def test_options_are_json_or_text() -> None:
    texts = ["a=1", 'b={"c": [true]}', "d=text", "e=", "f=g=h", 'h="1"', "i=null"]
    assert place("s3://bucket", options=texts).options == {
        "a": 1,
        "b": {"c": [True]},
        "d": "text",
        "e": "",
        "f": "g=h",
        "h": "1",
        "i": None,
    }


@pytest.mark.parametrize(
    ("url", "given", "options"),
    [
        ("s3://b", {"anon": True}, {"anon": True}),
        ("gs://b", {"anon": True}, {"token": "anon"}),
        ("az://b", {"anon": True}, {"anon": True}),
        ("s3://b", {"endpoint_url": "http://x"}, {"endpoint_url": "http://x"}),
        ("gs://b", {"endpoint_url": "http://x"}, {"endpoint_url": "http://x"}),
        ("s3://b", {"profile": "p", "options": ["key=k"]}, {"profile": "p", "key": "k"}),
        ("simplecache::s3://b", {"anon": True}, {"s3": {"anon": True}}),
        (
            "zip://::s3://b/a.zip",
            {"profile": "p", "options": ['s3={"key": "k"}']},
            {"s3": {"profile": "p", "key": "k"}},
        ),
    ],
)
def test_shortcuts_are_storage_options(
    url: str, given: dict[str, Any], options: dict[str, Any]
) -> None:
    assert place(url, **given).options == options


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("folder", {"anon": True}),
        ("https://host", {"anon": True}),
        ("az://b", {"endpoint_url": "http://x"}),
        ("gs://b", {"profile": "p"}),
        ("s3://b", {"profile": "p", "options": ["profile=q"]}),
        ("s3://b", {"options": ["no-value"]}),
        ("s3://b", {"options": ["=value"]}),
    ],
)
def test_shortcuts_that_a_service_has_not(url: str, given: dict[str, Any]) -> None:
    with pytest.raises(typer.BadParameter):
        place(url, **given)


@pytest.mark.parametrize(
    ("url", "given", "option"),
    [
        ("az://b", {"endpoint_url": "http://x"}, "--src-option connection_string"),
        ("abfs://b", {"profile": "p"}, "--src-option connection_string"),
        ("gs://b", {"profile": "p"}, "--src-option token"),
        ("https://host", {"anon": True}, "--src-option for an option of its filesystem"),
    ],
)
def test_a_refusal_names_what_to_use(url: str, given: dict[str, Any], option: str) -> None:
    with pytest.raises(typer.BadParameter, match=option):
        place(url, "src", **given)


def test_two_places_have_options_of_their_own() -> None:
    source = place("s3://a", "src", anon=True)
    assert source.options == {"anon": True}
    names = [parameter.name for parameter in place_parameters("dst")]
    assert names == ["dst_url", "dst_options", "dst_anon", "dst_endpoint_url", "dst_profile"]
    with pytest.raises(typer.BadParameter) as found:
        place("folder", "dst", anon=True)
    assert found.value.param_hint == "--dst-anon"


def two_places(src: str, dst: str, **given: Any) -> dict[str, Any]:
    """The storage options of both places of a command."""
    parameters = [*place_parameters("src"), *place_parameters("dst"), *shared_parameters()]
    values = {
        parameter.name: None if parameter.default is parameter.empty else parameter.default
        for parameter in parameters
    }
    values.update(src_url=src, dst_url=dst, **given)
    share_options(["src", "dst"], values)
    found = {name: place_at(name, values).options for name in ("src", "dst")}
    assert values == {}
    return found


def test_options_are_shared_by_the_places_that_take_them() -> None:
    url = "https://minio:9000"
    assert two_places("data", "s3://b", both_endpoint_url=url, both_profile="p") == {
        "src": {},
        "dst": {"endpoint_url": url, "profile": "p"},
    }
    assert two_places("s3://a", "s3://b", both_anon=True, dst_anon=True) == {
        "src": {"anon": True},
        "dst": {"anon": True},
    }
    assert two_places("s3://a", "gs://b", both_endpoint_url=url, dst_endpoint_url="http://g") == {
        "src": {"endpoint_url": url},
        "dst": {"endpoint_url": "http://g"},
    }
    assert two_places("data", "s3://b", both_options=["key=1", "a=2"], dst_options=["key=3"]) == {
        "src": {},
        "dst": {"key": 3, "a": 2},
    }
    assert two_places("data", "out") == {"src": {}, "dst": {}}


@pytest.mark.parametrize(
    ("urls", "given", "message"),
    [
        (("data", "gs://b"), {"both_profile": "p"}, "no URL has such an option"),
        (("data", "out"), {"both_anon": True}, "no URL has such an option"),
        (("data", "out"), {"both_options": ["a=1"]}, "--src-option, --dst-option"),
        (("s3://a", "gs://b"), {"both_options": ["a=1"]}, "say which URL it is for"),
    ],
)
def test_options_that_no_place_takes_are_refused(
    urls: tuple[str, str], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        two_places(*urls, **given)
