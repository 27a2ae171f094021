"""The Korean texts: one word for one thing, polite throughout, and code that does not drift from the English notebooks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from upbit_frames.core.terms import TERMS, VOCABULARY

ROOT = Path(__file__).resolve().parent.parent.parent
KOREAN = sorted((ROOT / "notebooks" / "ko").glob("*.ipynb"))
HANGUL = re.compile("[가-힣]")
NOT_PROSE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def cells(path: Path, kind: str) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def readme_section() -> str:
    return re.split(r"^## ", (ROOT / "README.md").read_text(encoding="utf-8").partition("## 한국어\n")[2], flags=re.M)[0]


TEXTS: dict[str, str] = {
    "README.md": readme_section(),
    "terms": "\n".join(TERMS["ko"].values()),
    **{path.stem: "\n\n".join(cells(path, "markdown") + cells(path, "code")) for path in KOREAN},
}
PROSE = {"README.md": readme_section(), **{path.stem: "\n\n".join(cells(path, "markdown")) for path in KOREAN}}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_use_no_other_word_for_a_term(name: str) -> None:
    text = TEXTS[name]
    assert HANGUL.search(text)
    rivals = {rival: term.korean for term in VOCABULARY for rival in term.rivals}
    assert {rival: right for rival, right in rivals.items() if rival in text} == {}


def test_every_term_is_used() -> None:
    everything = "\n".join(TEXTS.values())
    assert [term.korean for term in VOCABULARY if term.korean not in everything] == []


def test_no_term_is_the_other_word_for_another() -> None:
    for term in VOCABULARY:
        assert [other.korean for other in VOCABULARY if term.korean in other.rivals] == []
    assert len({term.korean for term in VOCABULARY}) == len(VOCABULARY)


@pytest.mark.parametrize("name", PROSE)
def test_sentences_are_polite(name: str) -> None:
    """Every sentence that ends in 다 ends in 니다."""
    prose = NOT_PROSE.sub("", PROSE[name])
    endings = re.findall(r"[가-힣]+다(?=[.:)\n|]|$)", prose)
    assert endings
    assert [ending for ending in endings if not ending.endswith("니다")] == []


def test_the_guides_and_the_tour_exist_in_korean() -> None:
    english = {path.stem for path in (ROOT / "notebooks").glob("guide_*.ipynb")}
    assert english | {"01_quickstart"} <= {path.stem for path in KOREAN}


class _Wording(ast.NodeTransformer):
    """Leave of every ``print`` only what it computes, in any order: its words may stand elsewhere in Korean."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            computed: list[ast.expr] = []
            for argument in node.args:
                if isinstance(argument, ast.JoinedStr):
                    computed += [part for part in argument.values if isinstance(part, ast.FormattedValue)]
                elif not isinstance(argument, ast.Constant):
                    computed.append(argument)
            node.args = sorted(computed, key=ast.dump)
        return node


def pieces(source: str) -> tuple[str, list[Any]]:
    """Return the code with its texts taken out, and the texts."""
    tree = _Wording().visit(compile(source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    values = [node.value for node in texts]
    for node in texts:
        node.value = ""
    return ast.dump(tree), values


def differences(english: str, korean: str) -> Iterator[str]:
    """Yield how two cells differ, but for comments, Korean words and the way to the cassettes."""
    (code, texts), (korean_code, korean_texts) = pieces(english), pieces(korean)
    if code != korean_code:
        yield f"other code:\n{english}\n---\n{korean}"
        return
    for text, translated in zip(texts, korean_texts, strict=True):
        if text != translated and not HANGUL.search(translated) and translated != text.replace("../", "../../"):
            yield f"{text!r} became {translated!r}"


@pytest.mark.parametrize("path", KOREAN, ids=lambda path: path.stem)
def test_code_is_that_of_the_english_notebook(path: Path) -> None:
    english = cells(ROOT / "notebooks" / path.name, "code")
    korean = cells(path, "code")
    assert len(english) == len(korean)
    assert [text for pair in zip(english, korean, strict=True) for text in differences(*pair)] == []


def test_other_code_is_noticed() -> None:
    assert list(differences("print('rows', len(df))  # all", "print(len(df), '행')")) == []
    assert list(differences("uf.configure(a='../x')", "uf.configure(a='../../x')")) == []
    assert list(differences("print(len(df))", "print(len(other))"))
    assert list(differences("uf.candles('KRW-BTC')", "uf.candles('KRW-ETH')"))
    assert list(differences("df.tail(3)", "df.tail(4)"))
