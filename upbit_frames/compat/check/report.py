"""Collects findings of one module, with positions in characters. No I/O."""

from __future__ import annotations

import ast

from upbit_frames.compat.check.model import Edit, Finding

__all__ = ["Report"]


class Report:
    """Findings of one module.

    Parameters
    ----------
    source : str
    """

    def __init__(self, source: str) -> None:
        # As Python counts lines: a form feed or a line separator inside of text ends none.
        self.lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.findings: list[Finding] = []

    def add(
        self, rule: str, node: ast.expr | ast.stmt | ast.excepthandler, *, detail: str = "", after: str = "",
        edits: tuple[Edit, ...] = (),
    ) -> None:  # fmt: skip
        """Note a finding at a node."""
        line, column = self.start(node)
        before = self.lines[line - 1].strip()
        self.findings.append(Finding(rule, line, column + 1, detail, before, after, edits))

    def sorted(self) -> list[Finding]:
        """Return the findings in order, each once."""
        unique = {(item.line, item.column, item.rule): item for item in reversed(self.findings)}
        return sorted(unique.values(), key=lambda item: (item.line, item.column, item.rule))

    def _characters(self, line: int, offset: int) -> int:
        return len(self.lines[line - 1].encode()[:offset].decode(errors="replace"))

    def start(self, node: ast.expr | ast.stmt | ast.excepthandler) -> tuple[int, int]:
        """Return line from 1, column from 0."""
        return node.lineno, self._characters(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.excepthandler) -> tuple[int, int]:
        """Return line and column behind it."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return node.end_lineno, self._characters(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Return the source of a node as it stands."""
        (first, begin), (last, end) = self.start(node), self.end(node)
        if first == last:
            return self.lines[first - 1][begin:end]
        return "\n".join([self.lines[first - 1][begin:], *self.lines[first : last - 1], self.lines[last - 1][:end]])

    def edit(
        self, node: ast.AST, text: str = "", kind: str = "expression", *, drop_in: bool = False,
        keep: ast.stmt | None = None,
    ) -> Edit:  # fmt: skip
        """Return a change of a node."""
        assert isinstance(node, ast.expr | ast.stmt)
        kept = None if keep is None else self.start(keep)
        return Edit(kind, self.start(node), self.end(node), text, kept, drop_in)
