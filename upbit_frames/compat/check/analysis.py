"""Runs every rule over a module. No I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from upbit_frames.compat.check import habits, moments, pandas_rules, results
from upbit_frames.compat.check.model import Edit, Finding
from upbit_frames.compat.check.names import Module
from upbit_frames.compat.check.report import Report

__all__ = ["analyse", "imports"]


def analyse(source: str) -> list[Finding]:
    """Return everything the rules find in a module, in the order of its lines.

    A module that imports neither pyupbit nor the drop-in has no findings.

    Raises
    ------
    SyntaxError
        If it is no Python.
    """
    module = Module(ast.parse(source))
    if not module.uses_pyupbit:
        return []
    report = Report(source)
    for rules in (moments, results, habits, pandas_rules):
        rules.check(module, report)
    return report.sorted()


def imports(source: str) -> list[Edit]:
    """Return what leads the imports of pyupbit to the drop-in; empty where that would break the module.

    Orders need pyupbit itself, so a module that uses them keeps its imports.
    """
    module = Module(ast.parse(source))
    if any(name == "Upbit" for _, name in module.calls):
        return []
    report = Report(source)
    findings = [report.edit(node, _import(node), "import") for node in ast.walk(module.tree) if _import(node)]
    return [item for item in findings if item.text]


def _import(node: ast.AST) -> str:
    if isinstance(node, ast.Import) and any(item.name == "pyupbit" for item in node.names):
        rest = [item for item in node.names if item.name != "pyupbit"]
        alias = next(item.asname for item in node.names if item.name == "pyupbit")
        led = f"from upbit_frames.compat import pyupbit{f' as {alias}' if alias else ''}"
        return f"{led}; {ast.unparse(ast.Import(rest))}" if rest else led
    if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "pyupbit":
        return ast.unparse(ast.ImportFrom(f"upbit_frames.compat.{node.module}", node.names, 0))
    return ""


def safe(findings: Iterable[Finding], *, drop_in: bool) -> list[Edit]:
    """Return the edits of the findings that may be made, with or without the drop-in."""
    return [edit for item in findings for edit in item.edits if drop_in or not edit.drop_in]
