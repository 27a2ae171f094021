"""Frames for what knows no time zones: naive times, Excel, backtesting.py."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from upbit_frames.errors import ConfigError, QueryError, UsageError
from upbit_frames.frames import exports
from upbit_frames.frames.output import to_pandas

META = {"kind": "candles", "market": "KRW-BTC", "interval": "1h"}


@pytest.fixture
def hours(walk: Any) -> pd.DataFrame:
    """Thirty hours of KRW-BTC from 2026-01-01 00:00 UTC on."""
    return to_pandas(walk(30, step=3_600_000_000), index=["time"], tz="UTC", attrs=dict(META))


def two_markets(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat({"KRW-BTC": frame, "KRW-ETH": frame}, names=["market", "time"])


# --- naive --------------------------------------------------------------------------------------


def test_naive_times_are_the_wall_times_of_the_zone(hours: pd.DataFrame):
    naive = hours.uf.naive("Asia/Seoul")
    assert naive.index.tz is None
    assert naive.index[0] == pd.Timestamp("2026-01-01 09:00")
    assert naive.index.name == "time"
    assert hours.index.tz is not None  # the frame itself stays
    pd.testing.assert_frame_equal(naive.reset_index(drop=True), hours.reset_index(drop=True))
    assert hours.tz_convert("Asia/Seoul").uf.naive().index.equals(naive.index)


def test_naive_times_of_levels_and_columns(hours: pd.DataFrame):
    both = two_markets(hours).assign(end=lambda frame: frame.index.get_level_values("time"))
    naive = both.uf.naive("+09:00")
    assert naive.index.get_level_values("time")[0] == naive["end"].iloc[0] == pd.Timestamp("2026-01-01 09:00")
    assert naive["end"].dt.tz is None
    column = hours.reset_index().uf.naive("Asia/Seoul")
    assert column["time"].iloc[0] == pd.Timestamp("2026-01-01 09:00")


def test_an_hour_that_comes_twice_comes_twice(walk: Any):
    times = to_pandas(walk(4, start=1_793_509_200_000_000, step=3_600_000_000), index=["time"])  # 2026-11-01 05:00 UTC
    assert times.uf.naive("America/New_York").index.hour.tolist() == [1, 1, 2, 3]


def test_a_zone_that_there_is_not_is_refused(hours: pd.DataFrame):
    with pytest.raises(ConfigError, match="Asia/Soul"):
        hours.uf.naive("Asia/Soul")


# --- backtesting.py -----------------------------------------------------------------------------


def test_backtesting_columns(hours: pd.DataFrame):
    frame = hours.uf.to_backtesting("Asia/Seoul")
    assert frame.columns.tolist() == ["Open", "High", "Low", "Close", "Volume"]
    assert frame.index[0] == pd.Timestamp("2026-01-01 09:00")
    assert frame["Close"].tolist() == hours["close"].tolist()
    assert hours.reset_index().uf.to_backtesting("Asia/Seoul").equals(frame)
    one = two_markets(hours).loc[["KRW-BTC"]]
    assert one.uf.to_backtesting("Asia/Seoul").equals(frame)


@pytest.mark.filterwarnings("ignore")  # the library uses what pandas deprecates
def test_backtesting_runs_on_it(hours: pd.DataFrame):
    library = pytest.importorskip("backtesting")

    class Hold(library.Strategy):
        def init(self) -> None: ...

        def next(self) -> None:
            if not self.position:
                self.buy(size=0.9)

    frame = hours.uf.to_backtesting("Asia/Seoul")
    frame[["Open", "High", "Low", "Close"]] /= 1e6
    stats = library.Backtest(frame, Hold, cash=10_000, finalize_trades=True).run()
    assert stats["# Trades"] == 1
    assert stats["Start"] == pd.Timestamp("2026-01-01 09:00")


def test_backtesting_refuses_what_it_cannot_use(hours: pd.DataFrame, trades: Any):
    with pytest.raises(QueryError, match="takes one market, and this frame has 2"):
        two_markets(hours).uf.to_backtesting()
    hours.iloc[3, :] = np.nan
    with pytest.raises(QueryError, match="takes no NaN, and 1 rows"):
        hours.uf.to_backtesting()
    with pytest.raises(QueryError, match="needs candles"):
        to_pandas(trades, index=["time"]).uf.to_backtesting()


# --- Excel --------------------------------------------------------------------------------------


def test_an_excel_sheet_reads_back(hours: pd.DataFrame, tmp_path: Path):
    library = pytest.importorskip("openpyxl")
    path = hours.uf.to_excel(tmp_path / "hours.xlsx", tz="Asia/Seoul")
    back = pd.read_excel(path, index_col=0)
    assert back.index.name == "time (Asia/Seoul)"
    assert back.index[0] == pd.Timestamp("2026-01-01 09:00")
    np.testing.assert_allclose(back.to_numpy(), hours.to_numpy(), rtol=1e-15)  # Excel has sixteen digits
    sheet = library.load_workbook(path).active
    assert (sheet.title, sheet.freeze_panes, sheet["A1"].font.bold) == ("KRW-BTC 1h", "B2", True)
    formats = {cell.value: below.number_format for cell, below in zip(sheet[1], sheet[2], strict=True)}
    assert formats == {
        "time (Asia/Seoul)": "yyyy-mm-dd hh:mm:ss", "open": "#,##0", "high": "#,##0", "low": "#,##0", "close": "#,##0",
        "volume": "#,##0.00000000", "value": "#,##0",
    }  # fmt: skip
    assert sheet["A2"].value == datetime(2026, 1, 1, 9)


def test_prices_with_decimals_keep_them(hours: pd.DataFrame, tmp_path: Path):
    library = pytest.importorskip("openpyxl")
    hours["close"] += 0.5
    sheet = library.load_workbook(hours.uf.to_excel(tmp_path / "a.xlsx")).active
    assert (sheet["E2"].number_format, sheet["D2"].number_format) == ("#,##0.00######", "#,##0")


def test_trades_keep_every_digit_of_their_ids(trades: Any, tmp_path: Path):
    library = pytest.importorskip("openpyxl")
    frame = to_pandas(trades, index=["time"], attrs={"market": "KRW-BTC"})
    sheet = library.load_workbook(frame.uf.to_excel(tmp_path / "trades.xlsx")).active
    columns = {cell.value: [row[i].value for row in sheet.iter_rows(min_row=2)] for i, cell in enumerate(sheet[1])}
    assert columns["sequential_id"] == [str(2**53 + n) for n in (1, 2, 3, 5)]
    assert columns["side"] == ["bid", "ask", "ask", "bid"]
    assert columns["seq"] == [None] * 4
    assert sheet["A3"].number_format == "yyyy-mm-dd hh:mm:ss.000"


def test_several_markets_and_gaps(hours: pd.DataFrame, tmp_path: Path):
    library = pytest.importorskip("openpyxl")
    hours.iloc[0, 0] = np.nan
    sheet = library.load_workbook(two_markets(hours).uf.to_excel(str(tmp_path / "both.xlsx"))).active
    assert (sheet.freeze_panes, sheet.max_row, sheet["A2"].value, sheet["C2"].value) == ("C2", 61, "KRW-BTC", None)


def test_excel_refusals(hours: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("openpyxl")
    with pytest.raises(QueryError, match=r"path must end with \.xlsx, got 'a\.xls'"):
        hours.uf.to_excel(tmp_path / "a.xls")
    with pytest.raises(UsageError, match="cannot be written"):
        hours.uf.to_excel(tmp_path / "no such folder" / "a.xlsx")
    monkeypatch.setattr(exports, "_MOST_ROWS", 29)
    with pytest.raises(QueryError, match="holds 29 rows, and this frame has 30"):
        hours.uf.to_excel(tmp_path / "a.xlsx")


def test_without_openpyxl_the_extra_is_named(hours: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(UsageError, match=r"upbit-frames\[excel\]"):
        hours.uf.to_excel(tmp_path / "a.xlsx")
