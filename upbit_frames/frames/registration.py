"""``df.uf`` for every frame of a process, registered without importing pandas.

The package costs next to nothing to import, and pandas does not. Where pandas is there already, a
stand-in for the accessor is put on ``DataFrame`` at once; where it is not, when it is imported. The
stand-in gives way to :class:`upbit_frames.frames.accessor.UpbitFrames` on first use.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

__all__ = ["NAME", "LazyAccessor", "register_lazily", "withdraw"]

NAME = "uf"


class LazyAccessor:
    """What ``DataFrame.uf`` is until it is used."""

    def __get__(self, frame: Any, owner: type) -> Any:
        import upbit_frames.frames.accessor  # noqa: F401 - registers the accessor in place of this

        return getattr(owner if frame is None else frame, NAME)


def register_lazily() -> None:
    """Put the stand-in on pandas' frames, now or when pandas is imported; an accessor that is there stays."""
    pandas = sys.modules.get("pandas")
    if pandas is None:
        if not any(isinstance(finder, _PandasFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _PandasFinder())
        return
    _attach(pandas)


def withdraw(frames: type) -> None:
    """Take the stand-in off a class of frames, so that the accessor can be registered without a warning."""
    if isinstance(frames.__dict__.get(NAME), LazyAccessor):
        delattr(frames, NAME)


def _attach(pandas: ModuleType) -> None:
    frames = getattr(pandas, "DataFrame", None)
    if frames is not None and NAME not in frames.__dict__:
        setattr(frames, NAME, LazyAccessor())


class _PandasFinder(importlib.abc.MetaPathFinder):
    """Finds pandas as the others do, once, and notices when it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "pandas":
            return None
        with contextlib.suppress(ValueError):  # another thread was here first
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)
            return None
        spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads as the original loader, whose place it takes only until then."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _attach(module)
