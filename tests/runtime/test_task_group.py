"""What fails in a task group is raised as it is, and no group stays behind among its contexts."""

from __future__ import annotations

import asyncio

import pytest

from upbit_frames.runtime.task_group import TaskGroup


def contexts(error: BaseException) -> list[BaseException]:
    """Everything that IPython looks at to decide whether an error is one of a group."""
    chain = [error]
    while (link := chain[-1].__context__) is not None:
        assert len(chain) < 20
        chain.append(link)
    return chain


async def fail(error: BaseException) -> None:
    raise error


def test_the_first_error_is_raised_without_its_group() -> None:
    async def work() -> None:
        async with TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            group.create_task(fail(ValueError("first")))

    with pytest.raises(ValueError, match="first") as caught:
        asyncio.run(work())
    assert contexts(caught.value) == [caught.value]


def test_an_error_of_the_body_is_raised_as_it_is() -> None:
    async def work() -> None:
        async with TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            raise ValueError("body")

    with pytest.raises(ValueError, match="body") as caught:
        asyncio.run(work())
    assert contexts(caught.value) == [caught.value]


def test_groups_inside_groups_are_unwrapped_and_the_cause_stays() -> None:
    cause = OSError("cause")

    async def inner() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(cause))
        except BaseExceptionGroup as failed:
            raise ValueError("inner") from failed.exceptions[0]

    async def work() -> None:
        async with TaskGroup() as outer:
            async with asyncio.TaskGroup() as group:
                group.create_task(inner())
            outer.create_task(asyncio.sleep(0))

    with pytest.raises(ValueError, match="inner") as caught:
        asyncio.run(work())
    assert caught.value.__cause__ is cause
    assert not any(isinstance(link, BaseExceptionGroup) for link in contexts(caught.value))


def test_a_context_of_its_own_stays() -> None:
    async def converted() -> None:
        try:
            raise KeyError("own")
        except KeyError:
            raise ValueError("converted")  # noqa: B904 - without "from", so that there is a context

    async def work() -> None:
        async with TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            group.create_task(converted())
            await asyncio.sleep(60)  # cancelled by the failure, which must not become its context

    with pytest.raises(ValueError, match="converted") as caught:
        asyncio.run(work())
    assert [type(link) for link in contexts(caught.value)] == [ValueError, KeyError]
