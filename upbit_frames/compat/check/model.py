"""What a rule is, and what it finds. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["RULES", "Edit", "Finding", "Rule"]


@dataclass(frozen=True)
class Rule:
    """What a rule finds, and an example of what to write instead."""

    message: str
    after: str
    fixable: bool = False


RULES = {
    "PYU101": Rule(
        "`to` has no time zone: pyupbit reads it as UTC since 0.2.31 (before, as local time), the index is Korean time",
        'uf.candles(t, "1m", end=…, tz="UTC", count=200), or tz="Asia/Seoul" if Korean time is meant',
    ),
    "PYU102": Rule(
        "datetime.now() goes into `to` as if it were UTC: nine hours late in Korea",
        'end=pd.Timestamp.now("Asia/Seoul") - pd.Timedelta(days=1)',
    ),
    "PYU103": Rule(
        "pages by hand with the index: the index is Korean time, `to` is UTC, so pages leave holes or repeat rows",
        'df = uf.candles(t, "1m", start=…, end=…, tz="Asia/Seoul")',
    ),
    "PYU104": Rule(
        "a day without a time goes into `to`: it is the day of UTC, not of Korea",
        'uf.candles(t, "1d", end=…, tz="Asia/Seoul")',
    ),
    "PYU105": Rule(
        "nine hours are taken off before `to`: right as it stands; take that out together with the call",
        'uf.candles(t, …, end=kst, tz="Asia/Seoul")',
    ),
    "PYU106": Rule(
        "get_ohlcv_from reads the beginning as Korean time and `to` as UTC: nine hours more than it looks like",
        'uf.candles(t, "1h", start="2026-02-01", end="2026-02-03", tz="Asia/Seoul")',
    ),
    "PYU107": Rule("pages by hand in blocks of 200", "uf.candles(t, …, count=1000), or one get_ohlcv(count=1000)"),
    "PYU201": Rule(
        "the result is used without a test for None, which get_ohlcv gives for every failure",
        "if df is None: …, or uf.candles(…), which raises",
    ),
    "PYU202": Rule("repeats the call until it gives something", "one call: retries and limits are inside", True),
    "PYU203": Rule("an order book is a dict since pyupbit 0.2.20, and `tickers` is `ticker`", "get_orderbook(x)", True),
    "PYU204": Rule(
        "verbose=True gives a list since pyupbit 0.2.34 (a dict before)",
        'get_current_price(x, verbose=True)[0]["trade_price"]',
    ),
    "PYU205": Rule(
        "every error around the call is swallowed", "except uf.errors.UpbitFramesError as error: print(error)"
    ),
    "PYU301": Rule("sleeps beside a call", "nothing: limits are kept for all processes of the machine", True),
    "PYU302": Rule("one call a market in a loop", 'uf.ticker(tickers)["price"]; uf.candles(tickers, "1d", count=2)'),
    "PYU303": Rule("keeps candles in files by hand", "uf.candles(…): what was read once is stored"),
    "PYU304": Rule(
        "polls in an endless loop", "uf.stream(…), or uf.ticker(…), which a stream serves when called often"
    ),
    "PYU305": Rule(
        "WebSocketManager: a process, and nothing reports what was missed",
        'for batch in uf.stream(t, "ticker"): …; no __main__ guard is needed',
    ),
    "PYU306": Rule("an interval's name of pyupbit", 'uf.candles(t, "1h")'),
    "PYU401": Rule("pandas 3 reads [-1] as a label, which a time index does not have", ".iloc[-1]", True),
    "PYU402": Rule("gone in pandas 3", "", True),
}


@dataclass(frozen=True)
class Edit:
    """A change of the source.

    Attributes
    ----------
    kind : {"expression", "drop", "import", "loop"}
        Replace an expression; drop a statement; replace an import; replace a loop by one statement of its body.
    start, end : (line, column)
        Line from 1, column from 0 in characters.
    text : str
        Of a new expression.
    keep : (line, column) or None
        Where the statement of a loop begins that stays; None drops the loop.
    drop_in : bool
        Whether it is right only with the drop-in in place of pyupbit.
    """

    kind: str
    start: tuple[int, int]
    end: tuple[int, int]
    text: str = ""
    keep: tuple[int, int] | None = None
    drop_in: bool = False


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes
    ----------
    rule : str
    line, column : int
        Both from 1; of the cell in a notebook.
    detail : str
        What is particular about this place.
    before, after : str
        The code as it stands, and what to write instead.
    edits : tuple of Edit
        What ``--fix`` does; empty where a person has to decide.
    cell : int or None
        Number of the notebook's cell, from 1.
    """

    rule: str
    line: int
    column: int
    detail: str = ""
    before: str = ""
    after: str = ""
    edits: tuple[Edit, ...] = ()
    cell: int | None = None

    @property
    def message(self) -> str:
        """What is wrong, and what to write instead."""
        text = RULES[self.rule].message
        instead = self.after or RULES[self.rule].after
        return f"{text}{f' ({self.detail})' if self.detail else ''} → {instead}"

    def place(self, file: str) -> str:
        """Return file, cell, line and column."""
        cell = "" if self.cell is None else f"cell {self.cell}:"
        return f"{file}:{cell}{self.line}:{self.column}"

    def to_json(self, file: str) -> dict[str, Any]:
        """Return it as a dict for JSON."""
        return {
            "file": file, "cell": self.cell, "line": self.line, "column": self.column, "rule": self.rule,
            "message": self.message, "before": self.before, "after": self.after or RULES[self.rule].after,
            "fixable": bool(self.edits),
        }  # fmt: skip
