"""What is on the chart, read back from matplotlib's own objects."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

from upbit_frames.core.terms import TERMS, korean_amount
from upbit_frames.errors import QueryError, UpbitFramesWarning, UsageError
from upbit_frames.frames import plot
from upbit_frames.frames.plot import axes as ticks
from upbit_frames.frames.plot import labels as words


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    before = dict(mpl.rcParams)
    with mpl.rc_context():
        plt.switch_backend("agg")
        before["backend"] = mpl.rcParams["backend"]
        yield
        assert dict(mpl.rcParams) == before
    plt.close("all")


def frame(count: int, freq: str = "1min", tz: str = "UTC", interval: str | None = "1m") -> pd.DataFrame:
    rng = np.random.default_rng(count)
    close = 1e8 + np.cumsum(rng.integers(-50, 51, count)) * 1000.0
    open_ = np.concatenate([[1e8], close[:-1]])[:count]
    high, low = np.maximum(open_, close) + 5000.0, np.minimum(open_, close) - 5000.0
    volume = rng.gamma(1.0, 2.0, count)
    index = pd.date_range("2026-01-01", periods=count, freq=freq, tz="UTC", name="time").tz_convert(tz)
    made = pd.DataFrame(
        {"open": open_, "high": high, "low": low, "close": close, "volume": volume, "value": volume * close},
        index=index,
    )
    made.attrs["upbit_frames"] = {"market": "KRW-BTC"} | ({"interval": interval} if interval else {})
    return made


def shapes(ax: Any, kind: type) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """(colour, corners) of every polygon or line."""
    found = []
    for collection in ax.collections:
        if type(collection) is not kind:
            continue
        colours = collection.get_facecolor() if kind is PolyCollection else collection.get_edgecolor()
        for i, path in enumerate(collection.get_paths()):
            found.append((to_hex(colours[i % len(colours)]), path.vertices))
    return found


def drawn(ax: Any) -> Any:
    ax.figure.canvas.draw()
    return ax


def panel(ax: Any) -> Any:
    (below,) = [one for one in ax.figure.axes if one is not ax]
    return below


def test_every_candle_is_where_and_as_it_should_be():
    df = frame(60)
    ax = plot.candles(df)
    style = plot.STYLES["korean"]
    bodies, wicks = shapes(ax, PolyCollection), shapes(ax, LineCollection)
    assert len(bodies) == len(wicks) == 60
    days = mpl.dates.date2num(df.index.tz_convert("UTC").to_pydatetime())
    minute = 1 / 1440
    for colour, corners in bodies:
        x, y = corners[:, 0], corners[:, 1]
        i = int(np.argmin(abs(days + minute / 2 - x.mean())))
        row = df.iloc[i]
        assert days[i] < x.min() < x.max() < days[i] + minute
        assert {y.min(), y.max()} == {min(row.open, row.close), max(row.open, row.close)}
        assert colour == (style.up if row.close > row.open else style.down if row.close < row.open else style.flat)
    assert sorted(corners[0, 1] for _, corners in wicks) == sorted(df["low"])
    assert sorted(corners[1, 1] for _, corners in wicks) == sorted(df["high"])
    bars = shapes(panel(ax), PolyCollection)
    assert sorted(corners[:, 1].max() for _, corners in bars) == sorted(df["volume"])


def test_korea_paints_rises_red_and_falls_blue():
    red, green, blue = (int(plot.STYLES["korean"].up[i : i + 2], 16) for i in (1, 3, 5))
    assert red > 2 * max(green, blue)
    red, green, blue = (int(plot.STYLES["korean"].down[i : i + 2], 16) for i in (1, 3, 5))
    assert blue > red
    assert blue > green


def test_a_gap_stays_empty():
    df = frame(100)
    gap = df.drop(df.index[40:60])
    ax = plot.candles(gap)
    low, high = mpl.dates.date2num([df.index[40], df.index[60]])
    for one in (ax, panel(ax)):
        for _, corners in shapes(one, PolyCollection):
            assert not (low < corners[:, 0].mean() < high)
    assert len(shapes(ax, PolyCollection)) == 80
    holed = df.copy()
    holed.iloc[40:60] = np.nan
    assert len(shapes(plot.candles(holed), PolyCollection)) == 80


@pytest.mark.parametrize("count", [1, 2, 12, 500, 3000])
def test_any_number_of_candles_can_be_drawn(count: int):
    ax = drawn(plot.candles(frame(count)))
    assert len(shapes(ax, PolyCollection) or shapes(ax, LineCollection)) == count
    low, high = mpl.dates.num2date(ax.get_xlim())
    assert low < pd.Timestamp("2026-01-01", tz="UTC") < high


def test_dense_candles_are_lines_in_the_order_of_time():
    df = frame(5000)
    ax = plot.candles(df)
    lines = shapes(ax, LineCollection)
    assert [corners[1, 1] for _, corners in lines] == df["high"].tolist()
    assert [colour for colour, _ in lines[:3]] == [
        plot.STYLES["korean"].up if row.close > row.open else plot.STYLES["korean"].down
        for row in df.iloc[:3].itertuples()
    ]


def test_too_many_candles_are_drawn_coarser_and_it_is_said():
    df = frame(500)
    ax = plot.candles(df, most=200)
    assert len(shapes(ax, PolyCollection)) == 167
    assert ax.get_title("right") == "500 candles of 1m, drawn as 3m"
    assert max(corners[1, 1] for _, corners in shapes(ax, LineCollection)) == df["high"].max()
    assert plot.candles(df.iloc[:200], most=200).get_title("right") == ""
    with pytest.raises(QueryError, match="most=0"):
        plot.candles(df, most=0)


def test_one_price_candles_show():
    df = frame(5)
    df[["open", "high", "low", "close"]] = 5000.0
    ax = drawn(plot.candles(df))
    assert {colour for colour, _ in shapes(ax, PolyCollection)} == {plot.STYLES["korean"].flat}
    assert all(width > 0 for one in ax.collections for width in np.atleast_1d(one.get_linewidths()))
    low, high = ax.get_ylim()
    assert low < 5000 < high


def test_no_candles_say_so():
    ax = drawn(plot.candles(frame(3).iloc[:0]))
    assert [text.get_text() for text in ax.texts] == ["no candles"]
    assert drawn(plot.candles(frame(3).iloc[:0], volume=False, last=False)).collections[:] == []


@pytest.mark.parametrize("freq", [("MS", "1M"), ("YS", "1y"), ("1D", "1d"), ("W-MON", "1w"), ("1s", "1s")])
def test_every_width_of_period(freq: tuple[str, str]):
    df = frame(14, freq[0], interval=freq[1])
    ax = drawn(plot.candles(df))
    ends = np.append(mpl.dates.date2num(df.index[1:]), np.inf)
    for i, (_, corners) in enumerate(sorted(shapes(ax, PolyCollection), key=lambda shape: shape[1][0, 0])):
        assert corners[:, 0].max() < ends[i]


def test_the_interval_is_guessed_where_nobody_told():
    assert plot.candles(frame(5, "4h", interval=None)).get_title("left") == "KRW-BTC 4h"
    assert plot.candles(frame(1, interval=None)).get_title("left") == "KRW-BTC"


def test_labels():
    ax = drawn(plot.candles(frame(60, tz="Asia/Seoul")))
    labels = [label.get_text() for label in ax.get_yticklabels() if label.get_text()]
    assert labels
    assert all(label.count(",") == 2 for label in labels)
    assert (ax.get_ylabel(), panel(ax).get_ylabel()) == ("Price (KRW)", "Volume (BTC)")
    times = [label.get_text() for label in panel(ax).get_xticklabels()]
    assert "09:30" in times
    assert panel(ax).xaxis.get_offset_text().get_text() == "2026-Jan-01  KST"
    assert ax.get_title("left") == "KRW-BTC 1m"
    assert plot.candles(frame(3), title="mine").get_title("left") == "mine"
    assert plot.candles(frame(3), title="").get_title("left") == ""


def test_units_stay_as_far_as_they_are_known():
    both = pd.concat({"KRW-BTC": frame(5), "KRW-ETH": frame(5)}, names=["market"])
    both.attrs["upbit_frames"] = {"market": ["KRW-BTC", "KRW-ETH"], "interval": "1m"}
    one = both.loc["KRW-ETH"]  # which one it is, pandas does not keep
    ax = plot.candles(one)
    assert (ax.get_ylabel(), panel(ax).get_ylabel(), ax.get_title("left")) == ("Price (KRW)", "Volume", "1m")
    ax = both.loc[["KRW-ETH"]].uf.plot()
    assert (ax.get_ylabel(), panel(ax).get_ylabel()) == ("Price (KRW)", "Volume (ETH)")
    assert ax.get_title("left") == "KRW-ETH 1m"
    ax = one.assign(market="KRW-ETH").uf.plot()
    assert panel(ax).get_ylabel() == "Volume (ETH)"
    with pytest.raises(QueryError, match=r"has several.*df.loc\['KRW-BTC'\]"):
        both.uf.plot(averages=[5])


@pytest.mark.parametrize(
    ("count", "freq", "interval", "end", "label"),
    [
        (60, "1min", "1m", "2026-11-24 00:00", "2026-Nov-23  KST"),  # up to midnight, which is not their day
        (24, "1h", "1h", "2026-11-24 00:00", "2026-Nov-23  KST"),
        (8, "1h", "1h", "2026-11-24 04:00", "2026-Nov-24  KST"),
        (30, "1D", "1d", "2026-12-01 09:00", "2026-Nov  KST"),
        (60, "1min", "1m", "2026-01-01 00:00", "2025-Dec-31  KST"),
    ],
)
def test_the_offset_names_the_day_of_the_newest_candle(count: int, freq: str, interval: str, end: str, label: str):
    df = frame(count, interval=interval)
    end_ = pd.Timestamp(end, tz="Asia/Seoul")
    df.index = pd.date_range(end=end_ - pd.Timedelta(freq), periods=count, freq=freq, name="time")
    ax = drawn(plot.candles(df))
    assert panel(ax).xaxis.get_offset_text().get_text() == label


def test_the_last_close_is_marked_and_nothing_overlaps_it():
    df = frame(60)
    ax = drawn(plot.candles(df))
    (mark,) = ax.texts
    assert mark.get_text() == f"{df['close'].iloc[-1]:,.0f}"
    low, high = ax.get_ylim()
    for place, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True):
        if abs(place - df["close"].iloc[-1]) < 0.03 * (high - low):
            assert label.get_text() == ""
    assert not plot.candles(df, last=False).texts


def test_own_axes_are_used_and_no_other_figure_is_made():
    figure, axes = plt.subplots(2, 2, layout="constrained")
    returned = plot.candles(frame(30), ax=axes[0, 0])
    assert returned is axes[0, 0]
    assert plot.candles(frame(30), ax=axes[1, 1], volume=False) is axes[1, 1]
    assert plt.get_fignums() == [figure.number]
    assert len(figure.axes) == 5
    figure.canvas.draw()
    loose = plt.figure()
    upper = plot.candles(frame(30), ax=loose.add_axes((0.1, 0.1, 0.8, 0.8)))
    loose.canvas.draw()
    below = panel(upper).get_position()
    assert below.y0 == pytest.approx(0.1)
    assert upper.get_position().y1 == pytest.approx(0.9)
    assert below.y1 < upper.get_position().y0


def test_the_accessor_draws(monkeypatch: pytest.MonkeyPatch):
    import upbit_frames.frames.accessor  # noqa: F401

    ax = frame(10).uf.plot(volume=False, style="western")
    assert len(ax.figure.axes) == 1
    assert {colour for colour, _ in shapes(ax, PolyCollection)} <= {"#1a936f", "#d1453b", "#7a7f87"}


@pytest.mark.parametrize("style", [*plot.STYLES, plot.Style(up="red", down="blue", paper="#fafafa")])
def test_styles(style: Any):
    drawn(plot.candles(frame(30), style=style))


def test_an_unknown_style_is_refused():
    with pytest.raises(QueryError, match="korean, western, mono, night"):
        plot.candles(frame(3), style="pink")


# --- words -----------------------------------------------------------------------------------------


def test_without_a_font_for_hangul_nothing_becomes_a_box(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(words, "hangul_font", lambda: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of every letter that the font lacks
        ax = drawn(plot.candles(frame(30), title="비트코인 KRW-BTC 한 시간"))
    assert ax.get_title("left") == "KRW-BTC"
    assert ax.get_ylabel() == "Price (KRW)"


def test_with_a_font_for_hangul_the_words_are_korean(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(words, "hangul_font", lambda: "DejaVu Serif")
    ax = plot.candles(frame(500), most=200, title="비트코인")
    assert (ax.get_ylabel(), panel(ax).get_ylabel()) == ("가격 (KRW)", "거래량 (BTC)")
    assert ax.get_title("left") == "비트코인"
    assert ax.get_title("right") == "1m 캔들 500개를 3m 단위로 표시"
    assert ax.yaxis.label.get_fontfamily()[0] == "DejaVu Serif"
    assert panel(ax).xaxis.label.get_fontfamily() == mpl.rcParams["font.family"]


def test_a_font_without_hangul_is_not_taken():
    assert words._first_with_hangul(("DejaVu Sans", "DejaVu Sans Mono")) is None
    found = words.hangul_font()
    if found is not None:  # depends on the machine
        assert "DejaVu" not in found


def test_every_word_exists_in_both_languages():
    assert TERMS["en"].keys() == TERMS["ko"].keys()
    fields = {lang: [set(re.findall(r"{(\w+)", text)) for text in words.values()] for lang, words in TERMS.items()}
    assert fields["en"] == fields["ko"]


@pytest.mark.parametrize(
    ("step", "decimals"),
    [(1e6, 0), (500, 0), (2.5, 1), (1, 0), (0.5, 1), (0.25, 2), (0.1, 1), (2e-8, 8), (5e-9, 8)],
)
def test_decimals_follow_the_ticks(step: float, decimals: int):
    assert ticks.decimals_of(step) == decimals


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0"), (20, "20"), (2500, "2,500"), (999_999, "999,999"), (1e6, "1M"), (2.5e9, "2.5B"), (0.25, "0.25")],
)
def test_amounts(amount: float, text: str):
    assert ticks.Amounts()(amount) == text


def test_matplotlib_missing_is_told():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import pandas as pd\n"
        "from upbit_frames import errors\nfrom upbit_frames.frames import plot\n"
        "try:\n"
        "    plot.candles(pd.DataFrame())\n"
        "except errors.UsageError as error:\n"
        "    assert 'upbit-frames[plot]' in str(error)\n"
        "else:\n"
        "    raise SystemExit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert issubclass(UsageError, RuntimeError)


# --- filled candles, averages, overlays, several markets -------------------------------------------


def dashes(ax: Any) -> list[np.ndarray[Any, Any]]:
    return [path.vertices for one in ax.collections if one.get_gid() == "filled" for path in one.get_paths()]


@pytest.mark.parametrize("count", [60, 3000])
def test_filled_candles_are_dashes_of_their_own_and_named(count: int):
    df = frame(count)
    df["filled"] = False
    quiet = df.index[20:30]
    df.loc[quiet, ["open", "high", "low", "close"]] = df["close"].iloc[19]
    df.loc[quiet, ["volume", "value"]] = 0.0
    df.loc[quiet, "filled"] = True
    ax = drawn(plot.candles(df, lang="en"))
    lines = dashes(ax)
    assert len(lines) == 10
    assert {y for line in lines for y in line[:, 1]} == {df["close"].iloc[19]}
    assert lines[0][1, 0] - lines[0][0, 0] == pytest.approx(1 / 1440)
    (collection,) = [one for one in ax.collections if one.get_gid() == "filled"]
    assert to_hex(collection.get_edgecolor()[0]) == plot.STYLES["korean"].filled
    assert collection.get_linewidths()[0] > 1.5
    assert collection.get_zorder() > max(one.get_zorder() for one in ax.collections if one is not collection)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no trade, filled in"]
    assert plot.candles(frame(5)).get_legend() is None


def test_a_coarser_candle_is_filled_only_if_all_of_it_is():
    df = frame(60)
    df["filled"] = [20 <= i < 30 for i in range(60)]
    ax = plot.candles(df, most=20)  # candles of 3m: 18, 21, 24, 27
    assert ax.get_title("right").endswith("3m")
    assert len(dashes(ax)) == 3


@pytest.mark.parametrize("count", [300, 3000])
def test_flat_candles_do_not_vanish_among_many(count: int):
    df = frame(count)
    df[["open", "high", "low", "close"]] = 5000.0
    ax = drawn(plot.candles(df, last=False))
    image = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3].astype(int)
    grey = np.array([0x7A, 0x7F, 0x87])
    assert (abs(image - grey).sum(axis=2) < 60).any(axis=0).sum() > 400  # columns of pixels with a candle


def test_averages_and_overlays():
    df = frame(60)
    mine = df["close"].rolling(3).max().rename("top")
    ax = plot.candles(df, averages=(5, 20), overlays=mine, lang="en")
    lines = {line.get_label(): line for line in ax.get_lines() if not str(line.get_label()).startswith("_")}
    assert list(lines) == ["MA 5", "MA 20", "top"]
    np.testing.assert_array_equal(lines["MA 20"].get_ydata(), df["close"].rolling(20).mean())
    np.testing.assert_array_equal(lines["top"].get_ydata(), mine)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)
    assert len({line.get_color() for line in lines.values()}) == 3
    with pytest.raises(QueryError, match="aware times"):
        plot.candles(df, overlays=mine.tz_localize(None))
    with pytest.raises(QueryError, match="aware times"):
        plot.candles(df, overlays=[1, 2])
    with pytest.raises(QueryError, match="averages"):
        plot.candles(df, averages=[0])


def test_several_markets_begin_at_100_where_all_are_traded():
    late = frame(60).iloc[10:]
    both = pd.concat({"KRW-BTC": frame(60), "KRW-ETH": late * 0.03}, names=["market"])
    both.attrs["upbit_frames"] = {"market": ["KRW-BTC", "KRW-ETH"], "interval": "1m"}
    ax = both.uf.plot(lang="en")
    lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    assert list(lines) == ["KRW-BTC", "KRW-ETH"]
    assert [line[10] for line in lines.values()] == pytest.approx([100, 100])
    np.testing.assert_allclose(
        lines["KRW-BTC"], both.loc["KRW-BTC", "close"] / both.loc["KRW-BTC", "close"].iloc[10] * 100
    )
    assert ax.get_ylabel() == "Close, first = 100"
    panel_ = both["close"].unstack("market")
    np.testing.assert_allclose(panel_.uf.plot().get_lines()[0].get_ydata(), lines["KRW-BTC"])
    column = both.reset_index().set_index("time")
    assert len(column.uf.plot().get_lines()) == 2
    apart = pd.concat({"KRW-BTC": frame(60).iloc[:10], "KRW-ETH": late}, names=["market"])
    with pytest.raises(QueryError, match="no time in common"):
        apart.uf.plot()


def test_dates_in_korean(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(words, "hangul_font", lambda: "DejaVu Sans")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font lacks
        ax = drawn(plot.candles(frame(30, "1D", "Asia/Seoul", "1d"), lang="ko"))
    labels = [label.get_text() for label in panel(ax).get_xticklabels()]
    assert "9일" in labels
    assert panel(ax).xaxis.get_offset_text().get_text() == "2026년 1월  KST"
    english = drawn(plot.candles(frame(30, "1D", "Asia/Seoul", "1d"), lang="en"))
    assert english.get_ylabel() == "Price (KRW)"


def test_a_language_that_cannot_be_drawn_warns_and_an_unknown_one_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(words, "hangul_font", lambda: None)
    with pytest.warns(UpbitFramesWarning, match="NanumGothic"):
        assert plot.candles(frame(3), lang="ko").get_ylabel() == "Price (KRW)"
    with pytest.raises(QueryError, match="lang"):
        plot.candles(frame(3), lang="kr")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5e12, "1.5조"), (2e8, "2억"), (12_345, "1.23만"), (999, "999"), (0.00012, "0.00012"), (0, "0")],
)
def test_korean_amounts(value: float, text: str):
    assert korean_amount(value) == text
