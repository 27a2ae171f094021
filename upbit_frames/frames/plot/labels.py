"""The words on a chart: Korean where a font can show them, English otherwise."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from upbit_frames.core.terms import terms
from upbit_frames.runtime.caller import warn

__all__ = ["fonts", "hangul_font", "language", "readable"]

# Fonts with Hangul, as Windows, macOS, Linux distributions and Colab name them.
_KNOWN = (
    "Pretendard", "Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "NanumBarunGothic", "NanumSquare",
    "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "Noto Sans CJK JP", "Source Han Sans KR", "UnDotum",
    "Baekmuk Dotum", "Gulim", "Dotum",
)  # fmt: skip
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]+")
_SYLLABLE = 0xAC00  # 가


def language(lang: str | None, font: str | None) -> dict[str, str]:
    """The words to draw: those of ``lang``, by default Korean where a font can show it.

    Warns
    -----
    UpbitFramesWarning
        If Korean was asked for and no installed font has it; the words are English then.
    """
    if lang is None:
        return terms("en" if font is None else "ko")
    words = terms(lang)
    if lang == "ko" and font is None:
        warn("no installed font has Hangul, so the words on the chart are English; install NanumGothic or Noto Sans KR")
        return terms("en")
    return words


def hangul_font() -> str | None:
    """The name of an installed font that has Hangul: one of the user's own settings first."""
    import matplotlib as mpl
    from matplotlib import font_manager

    families = [*mpl.rcParams["font.family"], *mpl.rcParams["font.sans-serif"]]
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return _first_with_hangul(tuple(name for name in (*families, *_KNOWN) if name in installed))


@lru_cache(maxsize=16)
def _first_with_hangul(names: tuple[str, ...]) -> str | None:
    from matplotlib import font_manager

    for name in names:
        font = font_manager.get_font(font_manager.findfont(name))
        # The "last resort" font maps every letter, to a box.
        if font.get_char_index(_SYLLABLE) and "Last Resort" not in name:
            return name
    return None


def fonts(text: str, font: str | None) -> dict[str, Any]:
    """Text options that show Hangul with that font; text without Hangul stays as the user has it."""
    import matplotlib as mpl

    if font is None or not _HANGUL.search(text):
        return {}
    # Bold would make matplotlib look for a bold file of the font, which is often not there.
    return {"fontfamily": [font, *mpl.rcParams["font.family"]], "fontweight": "normal"}


def readable(text: str, font: str | None) -> str:
    """The text without what would be drawn as empty boxes."""
    return text if font is not None else " ".join(_HANGUL.sub(" ", text).split())
