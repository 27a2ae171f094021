"""Every recipe of ``notebooks/recipes.md`` runs as it stands there, with the real library where it is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange

PAGE = Path(__file__).resolve().parent.parent.parent / "notebooks" / "recipes.md"
RECIPES = dict(re.findall(r"^## (\w+)\n.*?^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))
Names = dict[str, Any]

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries use what pandas deprecates


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with Exchange(seed=7, now="2026-03-01T03:30:30Z", limits=False) as exchange:
        yield {"rest_url": exchange.rest_url, "cache_dir": tmp_path_factory.mktemp("store"), "progress": False}


@pytest.fixture
def names(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """What the page's first block defines, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with uf.using(**settings):
        space: Names = {}
        exec(RECIPES["Data"], space)
        yield space


def backtesting(names: Names) -> None:
    assert names["stats"]["Start"] == pd.Timestamp("2025-01-01 09:00")
    (size,) = names["stats"]["_trades"]["Size"]
    assert 0.01 < size < 0.5  # a fraction of a coin of about a hundred million


def vectorbt(names: Names) -> None:
    assert int(names["portfolio"].trades.count()) > 3
    assert names["portfolio"].wrapper.index.equals(names["df"].uf.naive().index)
    assert np.isfinite(names["portfolio"].total_return())


def backtrader(names: Names) -> None:
    library, seen = names["bt"], []

    class Look(library.Strategy):  # type: ignore[name-defined, misc]
        def next(self) -> None:
            seen.append((self.data.datetime.datetime(0), self.data.close[0], self.data.volume[0]))

    names["engine"].addstrategy(Look)
    names["engine"].run()
    frame = names["df"].uf.naive()
    # It keeps times as fractions of a day, good to some microseconds.
    assert [pd.Timestamp(one[0]).round("s") for one in seen] == frame.index.tolist()
    assert [one[1:] for one in seen] == list(zip(frame["close"], frame["volume"], strict=True))


def freqtrade(names: Names) -> None:
    frame = pd.read_feather("BTC_KRW-1d.feather")
    assert frame.columns.tolist() == ["date", "open", "high", "low", "close", "volume"]
    assert str(frame["date"].dt.tz) == "UTC"
    assert frame["close"].tolist() == names["df"]["close"].tolist()
    if not installed("freqtrade"):
        return
    from freqtrade.data.history.datahandlers import get_datahandler
    from freqtrade.enums import CandleType

    handler = get_datahandler(Path(), "feather")
    loaded = handler.ohlcv_load("BTC/KRW", "1d", candle_type=CandleType.SPOT, fill_missing=False, drop_incomplete=False)
    assert loaded["date"].tolist() == frame["date"].tolist()
    assert loaded["close"].tolist() == frame["close"].tolist()


def talib(names: Names) -> None:
    frame = names["df"]
    change = frame["close"].diff()
    rises, falls = change.clip(lower=0), -change.clip(upper=0)
    # Wilder's averages begin with the plain mean of the first fourteen changes.
    up, down = rises.iloc[1:15].mean(), falls.iloc[1:15].mean()
    assert frame["rsi"].iloc[14] == pytest.approx(100 * up / (up + down))
    assert frame["rsi"].iloc[:14].isna().all()
    assert (frame["atr"].dropna() > 0).all()


def pandas_ta_classic(names: Names) -> None:
    frame = names["df"]
    assert frame["RSI_14"].dropna().between(0, 100).all()
    middle = frame["close"].rolling(20).mean()
    np.testing.assert_allclose(frame["BBM_20_2.0"].dropna(), middle.dropna())


def quantstats(names: Names) -> None:
    returns = names["returns"]
    assert names["sharpe"] == pytest.approx(returns.mean() / returns.std() * np.sqrt(365))
    value = pd.concat([pd.Series([1.0]), (1 + returns).cumprod()])  # the fall from the first day counts
    assert names["worst"] == pytest.approx((value / value.cummax() - 1).min())


def alphalens(names: Names) -> None:
    factor, prices = names["factor"], names["prices"]
    assert factor.index.names == ["date", "asset"]
    assert sorted(factor["factor_quantile"].unique()) == [1, 2, 3]
    day = factor.index[0][0]
    after = prices["KRW-ETH"].shift(-1) / prices["KRW-ETH"] - 1
    assert factor.loc[(day, "KRW-ETH"), "1D"] == pytest.approx(after[day])


def lightweight_charts(names: Names) -> None:
    moments = [int(one) for one in re.findall(r'"time": (\d+)', names["chart"]._html)]
    assert moments[0] == pd.Timestamp("2025-01-01 09:00").timestamp()
    assert moments[-1] == pd.Timestamp("2025-12-31 09:00").timestamp()


def zipline(names: Names) -> None:
    """As zipline.data.bundles.csvdir documents it, and within what its writer keeps in 32 bits."""
    frame = pd.read_csv("BTC.csv", index_col="date", parse_dates=True)
    assert frame.columns.tolist() == ["open", "high", "low", "close", "volume", "dividend", "split"]
    assert (frame.index == frame.index.normalize()).all()  # sessions are midnights without a zone
    assert (frame[["open", "high", "low", "close"]] * 1000).to_numpy().max() < 2**32
    assert frame["volume"].max() < 2**32
    assert (frame["volume"] == frame["volume"].round()).all()
    np.testing.assert_allclose(frame["volume"] / 1000, names["df"]["volume"], atol=0.0005)


def excel(names: Names) -> None:
    frame = pd.read_excel("KRW-BTC.xlsx", index_col=0)
    assert frame["close"].tolist() == names["df"]["close"].tolist()


CHECKS: dict[str, tuple[str | None, Callable[[Names], None]]] = {
    "backtesting": ("backtesting", backtesting), "vectorbt": ("vectorbt", vectorbt),
    "backtrader": ("backtrader", backtrader), "freqtrade": (None, freqtrade), "talib": ("talib", talib),
    "pandas_ta_classic": ("pandas_ta_classic", pandas_ta_classic), "quantstats": ("quantstats", quantstats),
    "alphalens": ("alphalens", alphalens), "lightweight_charts": ("lightweight_charts", lightweight_charts),
    "zipline": (None, zipline), "Excel": ("openpyxl", excel),
}  # fmt: skip


def installed(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("name", CHECKS)
def test_recipe(name: str, names: Names) -> None:
    module, check = CHECKS[name]
    if module is not None:
        pytest.importorskip(module, exc_type=ImportError)
    exec(RECIPES[name], names)
    check(names)


def test_every_recipe_is_short_and_has_a_test() -> None:
    assert set(RECIPES) == {"Data", *CHECKS}
    for name, code in RECIPES.items():
        assert 1 <= len([line for line in code.splitlines() if line.strip()]) <= 6, name
