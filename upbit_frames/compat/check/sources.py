"""Scripts and notebooks as Python source, and back, byte for byte."""

from __future__ import annotations

import ast
import codecs
import io
import json
import re
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Notebook", "Script", "Unreadable", "read"]

_MAGIC = re.compile(r"^(\s*)(%|!|\?)|^\s*\w[\w.]*\?{1,2}\s*$")
_ASSIGNED = re.compile(r"^(\s*)([\w, ]+)=\s*[!%]")
_TIMED = ("%%time", "%%timeit", "%%capture", "%%prun")
_MASK = "pass  # \u2063"  # stands for a line that is no Python; the number of the line follows
_MASKED = re.compile("pass  # \u2063(\\d+)")
_BORDER = "# \u2063cell {}"
_BORDERS = re.compile("^# \u2063cell (\\d+)$", re.MULTILINE)


class Unreadable(Exception):
    """A file that is missing, or no Python."""


@dataclass
class Script:
    """A Python file."""

    path: Path
    source: str
    encoding: str
    mark: bytes = b""

    @property
    def text(self) -> str:
        """What the rules read."""
        return self.source

    def place(self, line: int) -> tuple[int | None, int]:
        """Return cell and line of a line of the text."""
        return None, line

    def write(self, text: str) -> None:
        """Replace the content."""
        self.path.write_bytes(self.mark + text.encode(self.encoding))


@dataclass
class Notebook:
    """A Jupyter notebook: its code cells as one module, magics masked."""

    path: Path
    raw: str
    book: dict[str, Any]
    text: str = ""
    cells: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    masked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts, line = [], 1
        for number, cell in enumerate(self.book.get("cells", []), start=1):
            if cell.get("cell_type") != "code":
                continue
            source = self._mask(_joined(cell.get("source", "")))
            parts.append(f"{_BORDER.format(number)}\n{source}")
            self.cells.append(number)
            self.starts.append(line + 1)
            line += 2 + source.count("\n")
        self.text = "\n".join(parts) + "\n" if parts else ""

    def _mask(self, source: str) -> str:
        try:
            ast.parse(source)
            return source
        except (SyntaxError, ValueError):
            pass  # most probably for its magics
        lines = source.split("\n")
        if lines and lines[0].startswith("%%") and not lines[0].startswith(_TIMED):
            return "\n".join(self._hide(line) for line in lines)
        return "\n".join(self._hide(line) if _MAGIC.match(line) or _ASSIGNED.match(line) else line for line in lines)

    def _hide(self, line: str) -> str:
        self.masked.append(line)
        indent = line[: len(line) - len(line.lstrip())]
        return f"{indent}{_MASK}{len(self.masked) - 1}"

    def _unmasked(self, line: str) -> str:
        result = _MASKED.search(line)
        return line if result is None else self.masked[int(result[1])]

    def place(self, line: int) -> tuple[int | None, int]:
        """Return cell and line of a line of the text."""
        before = [place for place, start in enumerate(self.starts) if start <= line]
        if not before:
            return self.cells[0], 1
        return self.cells[before[-1]], line - self.starts[before[-1]] + 1

    def write(self, text: str) -> None:
        """Replace the source of the cells; outputs and metadata stay."""
        pieces = _BORDERS.split(text)
        sources = {int(number): body for number, body in zip(pieces[1::2], pieces[2::2], strict=True)}
        for number, body in sources.items():
            source = "\n".join(self._unmasked(line) for line in body.removeprefix("\n").removesuffix("\n").split("\n"))
            cell = self.book["cells"][number - 1]
            if _joined(cell["source"]) != source:
                cell["source"] = source.splitlines(keepends=True) if isinstance(cell["source"], list) else source
        end = "\n" if self.raw.endswith("\n") else ""
        compact = json.dumps(self.book, ensure_ascii=self.raw.isascii(), indent=_indent(self.raw))
        self.path.write_bytes((compact + end).encode("utf-8"))


def _joined(source: Any) -> str:
    return source if isinstance(source, str) else "".join(source)


def _indent(raw: str) -> int | None:
    result = re.match(r"\{\n( +)", raw)
    return len(result[1]) if result else None


def read(path: Path) -> Script | Notebook:
    """Return the file as something that can be analysed.

    Raises
    ------
    Unreadable
        If it is missing, a folder, or of an encoding that it does not state.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise Unreadable("there is no such file") from None
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    if path.suffix == ".ipynb":
        return _notebook(path, raw)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
        plain = "utf-8" if encoding == "utf-8-sig" else encoding
        return Script(path, raw.removeprefix(mark).decode(plain), plain, mark)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise Unreadable(f"it does not parse: {error}") from None


def _notebook(path: Path, raw: bytes) -> Notebook:
    try:
        text = raw.decode("utf-8")
        book = json.loads(text)
        if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
            raise ValueError("it has no cells")
        return Notebook(path, text, book)
    except (ValueError, AttributeError, TypeError) as error:
        raise Unreadable(f"it is no notebook: {error}") from None
