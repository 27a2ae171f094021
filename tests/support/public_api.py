"""List the public API as text: ``python tests/support/public_api.py`` writes ``public_api.txt``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames.frames.accessor import UpbitFrames

LISTING = Path(__file__).with_name("public_api.txt")


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the object of everything public, except errors and the version."""
    for name in sorted(set(uf.__all__) - {"errors", "__version__"}):
        value = getattr(uf, name)
        if inspect.ismodule(value):
            for inner in sorted(value.__all__):
                yield from _with_members(f"{name}.{inner}", getattr(value, inner))
        else:
            yield from _with_members(name, value)
    yield from _with_members("df.uf", UpbitFrames)


def _with_members(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    yield name, value
    kind = value if inspect.isclass(value) else type(value)
    if not inspect.isroutine(value) and kind.__module__.startswith("upbit_frames"):
        for member in sorted(member for member in dir(kind) if not member.startswith("_")):
            if not (issubclass(kind, BaseException) and hasattr(BaseException, member)):
                yield f"{name}.{member}", inspect.getattr_static(kind, member)


def error_classes() -> list[type[Exception]]:
    """Return the public exceptions and warnings, sorted by name."""
    return [getattr(uf.errors, name) for name in sorted(uf.errors.__all__) if inspect.isclass(getattr(uf.errors, name))]


def signature_of(value: Any) -> str:
    """Return parameters with their defaults, without annotations; empty for what is not called."""
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if not callable(value) or (inspect.isclass(value) and issubclass(value, BaseException)):
        return ""
    signature = inspect.signature(value)
    plain = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    text = str(signature.replace(parameters=plain, return_annotation=signature.empty))
    return ("async " if inspect.iscoroutinefunction(value) else "") + text


def lines() -> list[str]:
    """Return the listing: names with signatures, then error classes with their bases."""
    listing = [f"{name} {signature_of(value)}".rstrip() for name, value in public_objects()]
    listing += [
        f"errors.{error.__name__} < {', '.join(base.__name__ for base in error.__bases__)}" for error in error_classes()
    ]
    return listing


if __name__ == "__main__":
    LISTING.write_text("".join(f"{line}\n" for line in lines()), encoding="utf-8")
