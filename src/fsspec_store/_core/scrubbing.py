"""Removal of secrets from the exceptions of libraries.

Crash reporters and debuggers show an exception's message, its attributes, its chain, and the local
variables of the functions in its traceback. Recognises the objects of HTTP libraries by their
attributes, and imports none of these libraries.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ..errors import StoreError

__all__ = ["forget_locals", "scrub"]

#: ``frame.clear`` does not close suspended coroutines, such as that of another task with the same
#: exception (Python 3.13, "What's New").
_CLEARS_SAFELY = sys.version_info >= (3, 13)


def scrub(
    error: BaseException, clean: Callable[[str], str], *, outer: BaseException | None = None
) -> None:
    """Remove secrets from an exception and its chain.

    Parameters
    ----------
    error : BaseException
        Changed in place; its class and its chain stay. A context that is not shown (``raise ...
        from None``) is removed.
    outer : BaseException, optional
        The exception that the caller was handling before; not changed.
    """
    for link in _chain(error, outer):
        link.args = tuple(_cleaned(each, clean) for each in link.args)
        for name, value in list(vars(link).items()):
            public = _cleaned(value, clean)
            if public is not value:
                setattr(link, name, public)
        if isinstance(link, OSError):
            for name in ("strerror", "filename", "filename2"):
                if isinstance(getattr(link, name), str):
                    setattr(link, name, clean(getattr(link, name)))
    forget_locals(error, outer=outer)


def forget_locals(
    error: BaseException, *, outer: BaseException | None = None, keep_functions: bool = False
) -> None:
    """Clear local variables of finished functions in the tracebacks of an exception and its chain.

    Before Python 3.13 the tracebacks are removed, unless ``keep_functions`` is true. ``outer`` is
    that of `scrub`.
    """
    for link in _chain(error, outer):
        if _CLEARS_SAFELY:
            traceback.clear_frames(link.__traceback__)
        elif not keep_functions:
            link.__traceback__ = None


def _chain(error: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    """An exception and its chain, up to the caller's exception or an error of this package."""
    seen = {id(outer)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen or isinstance(link, StoreError):
            continue
        seen.add(id(link))
        if link.__suppress_context__ and link.__context__ is not link.__cause__:
            link.__context__ = None
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
        yield link


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """The value with clean texts; the same object when nothing changes."""
    if isinstance(value, str):
        return _same_or(value, clean(value))
    if isinstance(value, (bytes, bytearray)):
        text = bytes(value).decode("latin-1")
        return _same_or(value, clean(text).encode("latin-1", "replace"))
    if isinstance(value, BaseException) or value is None:
        # Exceptions of the chain are cleaned by `scrub`.
        return value
    if hasattr(value, "real_url") and hasattr(value, "method") and not hasattr(value, "status"):
        # aiohttp's RequestInfo. A response has a status, and becomes a text below.
        url = _cleaned(value.url, clean)
        real_url = _cleaned(value.real_url, clean)
        return type(value)(url, value.method, type(value.headers)(_multidict()), real_url)
    if isinstance(value, Mapping):
        pairs = [(name, _cleaned(each, clean)) for name, each in value.items()]
        if all(new is old for (_, new), old in zip(pairs, value.values(), strict=True)):
            return value
        is_multidict = type(value).__module__.partition(".")[0] == "multidict"
        return _multidict(pairs) if is_multidict else dict(pairs)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        items = [_cleaned(each, clean) for each in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return type(value)(items)
    if is_dataclass(value) and not isinstance(value, type):
        values = {field.name: getattr(value, field.name) for field in fields(value)}
        public = {name: _cleaned(each, clean) for name, each in values.items()}
        changed = {name: each for name, each in public.items() if each is not values[name]}
        return replace(value, **changed) if changed else value
    if hasattr(value, "headers") or (hasattr(value, "host") and hasattr(value, "query")):
        # A request, a response or a URL of a library.
        text = str(value) if not hasattr(value, "headers") else f"<{type(value).__name__}>"
        return clean(text)
    return value


def _multidict(pairs: Iterable[tuple[str, str]] = ()) -> Any:
    # The library is loaded, because the value is one of its objects.
    return sys.modules["multidict"].CIMultiDict(pairs)


def _same_or(old: Any, new: Any) -> Any:
    return old if new == old else new
