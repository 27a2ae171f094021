"""Errors survive pickling, as workers of a pool and of pytest-xdist send them, with all they carry."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context

import httpx
import pytest

from upbit_frames import errors
from upbit_frames.core.intervals import Interval

CLASSES = [
    cls for cls in map(errors.__dict__.get, errors.__all__)
    if isinstance(cls, type) and issubclass(cls, errors.UpbitFramesError)
]  # fmt: skip
CONTEXT = {"market": "KRW-BTC", "status": 418, "until": datetime(2026, 3, 1, tzinfo=UTC), "missing": [(1, 2)]}


def failed(cls: type[errors.UpbitFramesError], cause: Exception | None) -> errors.UpbitFramesError:
    try:
        raise cls("it failed", suggestion="try again", **CONTEXT) from cause
    except errors.UpbitFramesError as error:
        error.add_note("in the second batch")
        return error


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_class_survives_pickling(cls: type[errors.UpbitFramesError], protocol: int) -> None:
    error = failed(cls, errors.Timeout("no answer", url="https://api.upbit.com"))
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is cls
    assert str(again) == str(error)
    assert (again.message, again.suggestion, again.context) == ("it failed", "try again", CONTEXT)
    assert again.until == CONTEXT["until"]
    assert again.args == error.args
    assert again.__notes__ == ["in the second batch"]
    assert type(again.__cause__) is errors.Timeout
    assert again.__cause__.url == "https://api.upbit.com"
    assert again.__suppress_context__


def test_all_classes_of_the_module_are_public() -> None:
    defined = {
        name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, (Exception, Warning))
    }
    assert defined == {name for name in errors.__all__ if not name.startswith("_")}
    assert len(CLASSES) == len(errors.__all__) - 1  # all but the warning


def test_a_cause_that_cannot_be_pickled_is_named() -> None:
    cause = httpx.HTTPStatusError("refused", request=httpx.Request("GET", "http://x"), response=httpx.Response(500))
    again = pickle.loads(pickle.dumps(failed(errors.ServerError, cause)))
    assert "HTTPStatusError: refused" in str(again.__cause__)
    lock = failed(errors.StoreError, None)
    lock.__cause__ = OSError(5, "Input/output error")
    assert pickle.loads(pickle.dumps(lock)).__cause__.errno == 5


def test_without_a_cause_there_is_none() -> None:
    again = pickle.loads(pickle.dumps(errors.QueryError("no")))
    assert (again.__cause__, again.suggestion, again.context) == (None, None, {})
    assert not again.__suppress_context__
    assert copy.deepcopy(failed(errors.Blocked, None)).until == CONTEXT["until"]


def test_an_error_of_another_process_arrives_whole() -> None:
    with pytest.raises(errors.InvalidInterval) as here:
        Interval.parse("7m")
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(errors.InvalidInterval) as there,
    ):
        pool.submit(Interval.parse, "7m").result()
    assert str(there.value) == str(here.value)
    assert there.value.context == here.value.context
    assert there.value.suggestion == here.value.suggestion
