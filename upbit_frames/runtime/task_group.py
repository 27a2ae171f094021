"""A task group that raises the error of its first failed task, not a group of errors.

Callers of this package catch ``errors.*``, and IPython shows an error whose context is an exception
group as a plain dump of several pages instead of a traceback. So the group must not reach the
caller, neither as the error nor as its context.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["TaskGroup", "first_error"]


class TaskGroup(asyncio.TaskGroup):  # noqa: TID251 - the only place that unwraps it
    """Run tasks together; the first failure cancels the others and is raised as it is."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
            return
        except BaseExceptionGroup as group:
            failure = first_error(group)
        # Raised outside the handler, and with its own context put back, because raising inside one
        # makes the group (or what ended the body) its context.
        context = failure.__context__
        try:
            raise failure
        finally:
            failure.__context__ = context


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, nested ones included, with no group left among its contexts."""
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    link, seen = failure, {id(failure)}
    while link.__context__ is not None and id(link.__context__) not in seen:
        if isinstance(link.__context__, BaseExceptionGroup):
            link.__context__ = None
            break
        link = link.__context__
        seen.add(id(link))
    return failure
