"""``upbit-frames check``: finds in scripts and notebooks what is a trap with pyupbit or pandas 3.

Checking needs nothing but the standard library; rewriting (``--fix``) needs libcst, the extra
``migrate``.
"""

from __future__ import annotations

from upbit_frames.compat.check.analysis import analyse
from upbit_frames.compat.check.model import RULES, Finding

__all__ = ["RULES", "Finding", "analyse"]
