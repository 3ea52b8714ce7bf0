from __future__ import annotations

import posixpath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._store.keys import check_key, check_prefix, directory_prefix
from fsspec_store.errors import InvalidKeyError

texts = st.text(st.sampled_from(["/", ".", "a", "b", "\0", " ", "é", "*"]), max_size=8)


@given(texts)
def test_a_key_stays_below_its_root_or_is_invalid(key: str) -> None:
    try:
        assert check_key(key) == key
    except InvalidKeyError as error:
        assert repr(key) in str(error)
        assert error.key == key
        # A key that path arithmetic does not change is valid.
        assert (
            not key
            or "\0" in key
            or posixpath.normpath(key) != key
            or key.startswith(("/", ".."))
            or key == "."
        )
    else:
        assert posixpath.normpath(posixpath.join("/root", key)) == f"/root/{key}"
        assert posixpath.normpath(key) not in (".", "..")


@given(texts)
def test_every_beginning_of_a_key_is_a_prefix(key: str) -> None:
    try:
        check_key(key)
    except InvalidKeyError:
        return
    for end in range(len(key) + 1):
        assert check_prefix(key[:end]) == key[:end]


@given(texts)
def test_a_prefix_begins_some_key_or_is_invalid(prefix: str) -> None:
    try:
        check_prefix(prefix)
    except InvalidKeyError as error:
        assert repr(prefix) in str(error)
        for rest in ("x", "x/y"):
            with pytest.raises(InvalidKeyError):
                check_key(prefix + rest)
    else:
        assert check_key(prefix + "x")


@pytest.mark.parametrize(
    ("prefix", "directory"), [("", ""), ("foo", "foo/"), ("foo/", "foo/"), ("a/b", "a/b/")]
)
def test_foo_and_foo_slash_are_the_same_directory(prefix: str, directory: str) -> None:
    assert directory_prefix(prefix) == directory


@pytest.mark.parametrize("prefix", [".", "..", "a/.", "a/..", "foo//", "/", 7, None])
def test_what_is_no_directory_is_an_error(prefix: Any) -> None:
    with pytest.raises(InvalidKeyError):
        directory_prefix(prefix)
