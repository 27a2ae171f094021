"""The public API is frozen: names, signatures, error classes; everything is documented, every call with an example."""

from __future__ import annotations

import importlib
import inspect
import pickle
from typing import Any

import pytest
from support.public_api import LISTING, error_classes, lines, public_objects

CALLABLE = [(name, value) for name, value in public_objects() if inspect.isroutine(value) or inspect.isclass(value)]


def test_names_signatures_and_errors_are_those_of_the_listing() -> None:
    frozen = LISTING.read_text(encoding="utf-8").splitlines()
    current = lines()
    gone, new = sorted(set(frozen) - set(current)), sorted(set(current) - set(frozen))
    assert current == frozen, f"gone: {gone}, new: {new}; if that is meant, run: python tests/support/public_api.py"


@pytest.mark.parametrize(("name", "value"), list(public_objects()), ids=[name for name, _ in public_objects()])
def test_everything_public_has_a_docstring(name: str, value: Any) -> None:
    if inspect.isroutine(value) or inspect.isclass(value) or isinstance(value, property):
        text = inspect.getdoc(value)
        assert text, name
        assert text[0].isupper() or text.startswith("`"), text


@pytest.mark.parametrize(("name", "value"), CALLABLE, ids=[name for name, _ in CALLABLE])
def test_every_call_has_an_example(name: str, value: Any) -> None:
    if inspect.isclass(value) and issubclass(value, BaseException):
        return
    assert ">>> " in (inspect.getdoc(value) or ""), f"{name} needs a section Examples with a line of code"


def test_errors_have_docstrings() -> None:
    assert [error.__name__ for error in error_classes() if not vars(error).get("__doc__")] == []


@pytest.mark.parametrize("module", ["upbit_frames.api.functions", "upbit_frames.aio"])
def test_calls_can_be_sent_to_other_processes(module: str) -> None:
    faces = importlib.import_module(module)
    for name in faces.__all__:
        function = getattr(faces, name)
        assert pickle.loads(pickle.dumps(function)) is function, name
