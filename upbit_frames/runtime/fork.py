"""What a child process made by ``fork`` must reset: locks that another thread held, connections of the parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

__all__ = ["on_fork"]

F = TypeVar("F", bound=Callable[[], None])


def on_fork(reset: F, *, before: Callable[[], None] | None = None, in_parent: Callable[[], None] | None = None) -> F:
    """Call a function in every child process right after a fork; does nothing where there are no forks.

    Usable as a decorator. Resets run in the order in which they were registered.

    Parameters
    ----------
    reset : callable
        Runs in the child, in its only thread.
    before, in_parent : callable, optional
        Run in the parent before and after the fork; ``before`` in reverse order of registration.

    Returns
    -------
    callable
        ``reset`` itself.
    """
    if hasattr(os, "register_at_fork"):
        hooks = {"before": before, "after_in_parent": in_parent, "after_in_child": reset}
        os.register_at_fork(**{name: hook for name, hook in hooks.items() if hook is not None})
    return reset
