"""Write the page of terms: the package's list, as a table."""

from __future__ import annotations

from pathlib import Path

from upbit_frames.core.terms import VOCABULARY


def write_vocabulary(path: Path) -> None:
    """Write the terms of the Korean texts, with the English words for them."""
    rows = "".join(f"| {term.korean} | {term.english} |\n" for term in VOCABULARY)
    path.write_text(
        f"# 용어\n\n한국어 문서는 업비트 개발자 센터의 용어를 따릅니다.\n\n| 용어 | English |\n|---|---|\n{rows}",
        encoding="utf-8",
    )
