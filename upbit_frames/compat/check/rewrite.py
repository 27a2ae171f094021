"""Makes the edits of findings with libcst: everything else stays as it is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from upbit_frames.compat.check.model import Edit

# ruff: noqa: N802 - libcst looks for methods of these names

__all__ = ["rewrite"]

Place = tuple[int, int]


def rewrite(source: str, edits: Iterable[Edit]) -> str:
    """Return the source with these edits applied; overlapping ones wait for the next round."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    return wrapper.visit(_Rewriter(_apart(edits), wrapper.module)).code


def _apart(edits: Iterable[Edit]) -> list[Edit]:
    """Return the edits, of those that overlap the inner ones."""
    result: list[Edit] = []
    for item in sorted(edits, key=lambda edit: (edit.start, [-part for part in edit.end])):
        while result and result[-1].end > item.start and result[-1].end >= item.end:
            result.pop()
        if not result or result[-1].end <= item.start:
            result.append(item)
    return result


class _Rewriter(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, edits: Sequence[Edit], module: cst.Module) -> None:
        super().__init__()
        self._config = module.config_for_parsing
        self._newline = module.default_newline
        self._expressions = {(item.start, item.end): item for item in edits if item.kind == "expression"}
        self._statements = {(item.start, item.end): item for item in edits if item.kind in ("drop", "import")}
        self._loops = {item.start: item for item in edits if item.kind == "loop"}

    def _span(self, node: cst.CSTNode) -> tuple[Place, Place]:
        result: Any = self.get_metadata(PositionProvider, node)
        return (result.start.line, result.start.column), (result.end.line, result.end.column)

    # --- expressions -----------------------------------------------------------------------------------

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        """Replace an expression that is to be another one."""
        updated = super().on_leave(original_node, updated_node)
        if not self._expressions or not isinstance(original_node, cst.BaseExpression):
            return updated
        edit = self._expressions.get(self._span(original_node))
        if edit is None or not isinstance(updated, cst.BaseExpression):
            return updated
        new = cst.parse_expression(edit.text.replace("\n", self._newline), self._config)
        return new.with_changes(lpar=[*updated.lpar, *new.lpar], rpar=[*new.rpar, *updated.rpar])

    # --- statements ------------------------------------------------------------------------------------

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        """Drop statements of a block; one that would be empty passes."""
        body, footer = self._block(original_node.body, updated_node.body)
        if not body:
            body = [cst.SimpleStatementLine([cst.Pass()], leading_lines=footer)]
            footer = []
        return updated_node.with_changes(body=body, footer=[*footer, *updated_node.footer])

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        """Drop statements of the module."""
        body, footer = self._block(original_node.body, updated_node.body)
        return updated_node.with_changes(body=body, footer=[*footer, *updated_node.footer])

    def leave_SimpleStatementSuite(
        self, original_node: cst.SimpleStatementSuite, updated_node: cst.SimpleStatementSuite
    ) -> cst.SimpleStatementSuite:
        """Drop statements behind a colon."""
        small = self._small(original_node.body, updated_node.body)
        return updated_node.with_changes(body=small or [cst.Pass()])

    def _block(self, original: Sequence[Any], updated: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return the statements that stay, and the lines that stood before those that do not."""
        kept: list[Any] = []
        waiting: list[Any] = []
        for before, after in zip(original, updated, strict=True):
            new = self._statement(before, after)
            if isinstance(new, list):
                waiting += new
                continue
            if waiting:
                new = new.with_changes(leading_lines=[*waiting, *new.leading_lines])
                waiting = []
            kept.append(new)
        return kept, waiting

    def _statement(self, before: Any, after: Any) -> Any:
        """Return the statement as it is to be, or the lines that are left of it."""
        if isinstance(before, cst.SimpleStatementLine):
            small = self._small(before.body, after.body)
            if small:
                return after.with_changes(body=small)
            return [*after.leading_lines, *_comment(after.trailing_whitespace)]
        if isinstance(before, cst.While) and self._span(before)[0] in self._loops:
            return self._single(before, after, self._loops[self._span(before)[0]])
        return after

    def _small(self, original: Sequence[Any], updated: Sequence[Any]) -> list[Any]:
        kept = []
        for before, after in zip(original, updated, strict=True):
            edit = self._statements.get(self._span(before)) if self._statements else None
            if edit is None:
                kept.append(after)
            elif edit.text:
                line = cst.ensure_type(cst.parse_statement(edit.text, self._config), cst.SimpleStatementLine)
                kept += [*line.body[:-1], line.body[-1].with_changes(semicolon=after.semicolon)]
        if kept and len(kept) < len(original):
            kept[-1] = kept[-1].with_changes(semicolon=cst.MaybeSentinel.DEFAULT)
        return kept

    def _single(self, before: cst.While, after: cst.While, edit: Edit) -> Any:
        """Return a loop becomes one statement of its body; comments of the others go before it."""
        lines: list[Any] = [*after.leading_lines]
        kept: Any = None
        body = cst.ensure_type(after.body, cst.IndentedBlock)
        lines += _comment(body.header)
        for old, new in zip(cst.ensure_type(before.body, cst.IndentedBlock).body, body.body, strict=True):
            if edit.keep is not None and self._span(old)[0] == edit.keep:
                kept = cst.ensure_type(new, cst.SimpleStatementLine)
                lines += kept.leading_lines
            else:
                line = cst.ensure_type(new, cst.SimpleStatementLine)
                lines += [*line.leading_lines, *_comment(line.trailing_whitespace)]
        lines += body.footer
        return lines if kept is None else kept.with_changes(leading_lines=lines)


def _comment(whitespace: cst.TrailingWhitespace) -> list[cst.EmptyLine]:
    """Return a comment at the end of a line, as a line of its own."""
    if whitespace.comment is None:
        return []
    return [cst.EmptyLine(comment=whitespace.comment, newline=whitespace.newline)]
