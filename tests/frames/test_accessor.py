"""``df.uf`` on frames that went through a user's hands."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from upbit_frames.core import gaps
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.resample import resample
from upbit_frames.errors import InvalidInterval, InvalidRange, QueryError, UpbitFramesWarning
from upbit_frames.frames import accessor
from upbit_frames.frames import output as frames
from upbit_frames.frames.interval_of_times import infer_interval

START = 1_767_225_600_000_000  # 2026-01-01
MINUTE = 60_000_000
META = {"market": "KRW-BTC", "interval": "1m"}


@pytest.fixture
def table(walk: Any) -> pa.Table:
    """An hour of minutes without the 3rd, the 10th to 12th, and the last."""
    whole = walk(60)
    return whole.take([i for i in range(59) if i not in (3, 10, 11, 12)])


@pytest.fixture
def df(table: pa.Table) -> pd.DataFrame:
    return frames.to_output(table, "candles", "pandas", tz="Asia/Seoul", attrs=META)


def stamp(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="Asia/Seoul")


def in_a_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FROM_CSV = """
df = pandas.read_csv(io.StringIO("time,open,high,low,close,volume,value\\n2026-01-01T00:00Z,1,1,1,1,1,1"))
df["time"] = pandas.to_datetime(df["time"])
gaps = df.uf.gaps(interval="1m")
print(df.uf.validate().empty, len(gaps), pandas.DataFrame.uf.__name__, hasattr(pandas.Series, "uf"))
"""


@pytest.mark.parametrize("order", ["import upbit_frames, pandas", "import pandas, upbit_frames"])
def test_the_package_alone_gives_every_frame_its_abilities(order: str):
    assert in_a_process(f"import io; {order}\n{FROM_CSV}") == "True 0 UpbitFrames False"


def test_importing_the_package_imports_no_pandas_and_leaves_the_import_of_pandas_as_it_is():
    code = """
import sys, importlib.util, upbit_frames
assert "pandas" not in sys.modules and "upbit_frames.frames.accessor" not in sys.modules
spec = importlib.util.find_spec("json")
others = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("upbit_frames")]
assert len(others) == len(sys.meta_path) - 1
import pandas, importlib.resources
assert "upbit_frames.frames.accessor" not in sys.modules
assert sys.meta_path[: len(others)] == others  # what pandas imports may add its own
assert not any(type(finder).__module__.startswith("upbit_frames") for finder in sys.meta_path)
assert type(pandas.__loader__).__module__ == type(pandas.__spec__.loader).__module__ == "_frozen_importlib_external"
assert importlib.resources.files("pandas").joinpath("__init__.py").is_file()
try:
    pandas.DataFrame().uf
except AttributeError as error:
    print(error)
"""
    assert in_a_process(code).startswith("df.uf is for frames of candles, trades")


def test_without_pandas_nothing_is_in_the_way():
    code = """
import sys
class Missing:
    def find_spec(self, name, path, target=None):
        if name == "pandas":
            raise ModuleNotFoundError("no pandas")
sys.meta_path.insert(0, Missing())
import upbit_frames
for _ in range(2):
    try:
        import pandas
    except ModuleNotFoundError as error:
        print(error)
"""
    assert in_a_process(code).splitlines() == ["no pandas", "no pandas"]


def test_an_accessor_of_someone_else_stays():
    code = """
import pandas
@pandas.api.extensions.register_dataframe_accessor("uf")
class Other:
    def __init__(self, frame): self.mine = True
import upbit_frames
print(pandas.DataFrame().uf.mine)
"""
    assert in_a_process(code) == "True"


def test_a_frame_of_something_else_has_no_uf():
    with pytest.raises(AttributeError, match="lacks time, high, low, close, volume, value"):
        _ = pd.DataFrame({"open": [1.0]}).uf
    assert not hasattr(pd.DataFrame(), "uf")
    assert pd.DataFrame.uf is accessor.UpbitFrames


def test_meta(df: pd.DataFrame):
    assert df.uf.meta == META
    df.uf.meta["market"] = "changed"
    assert df.attrs["upbit_frames"] == META
    df.attrs = {}
    assert df.uf.meta == {}


def test_gaps(df: pd.DataFrame):
    found = df.uf.gaps()
    assert found["start"].tolist() == [stamp("2026-01-01 09:03"), stamp("2026-01-01 09:10")]
    assert found["end"].tolist() == [stamp("2026-01-01 09:04"), stamp("2026-01-01 09:13")]
    assert found["periods"].tolist() == [1, 3]
    assert found.dtypes.astype(str).tolist() == ["datetime64[us, Asia/Seoul]"] * 2 + ["int64"]
    wider = df.uf.gaps(start="2026-01-01 08:59", end=stamp("2026-01-01 10:00"))
    assert wider["periods"].tolist() == [1, 1, 3, 1]


@pytest.mark.parametrize("kind", ["fixed", "pytz"])
def test_a_naive_start_is_read_in_the_frames_zone_of_any_make(df: pd.DataFrame, kind: str):
    zone: Any = timezone(timedelta(hours=9))
    if kind != "fixed":
        zone = pytest.importorskip("pytz").timezone("Asia/Seoul")
    found = df.tz_convert(zone).uf.gaps(start="2026-01-01 08:59", end="2026-01-01 10:00")
    assert found["periods"].tolist() == [1, 1, 3, 1]
    assert found["start"].tolist() == df.uf.gaps(start="2026-01-01 08:59", end="2026-01-01 10:00")["start"].tolist()


def test_gaps_of_nothing(df: pd.DataFrame):
    none = df.iloc[:0]
    assert none.uf.gaps().dtypes.astype(str).tolist() == ["datetime64[us, Asia/Seoul]"] * 2 + ["int64"]
    assert none.uf.gaps(start="2026-01-01", end="2026-01-02")["periods"].tolist() == [1440]
    none.attrs = {}
    assert none.uf.gaps().empty
    with pytest.raises(InvalidInterval, match="name it"):
        none.uf.gaps(start="2026-01-01", end="2026-01-02")


def test_real_gaps(real_data: Path):
    """KRW-DOGE in September 2025 has 189 minutes without a trade, up to five in a row."""
    with gzip.open(real_data / "history" / "KRW-DOGE_1m_2025-09.csv.gz", "rt") as file:
        frame = pd.read_csv(file, index_col=0, parse_dates=True).tz_localize("UTC")
    frame["value"] = frame["volume"] * frame["close"]
    found = frame.uf.gaps()
    every = pd.date_range(frame.index[0], frame.index[-1], freq="min")
    assert len(found) == 189
    assert found["periods"].sum() == len(every) - len(frame) == 213
    assert found["periods"].max() == 5
    assert frame.uf.validate().empty
    filled = frame.uf.fill()
    assert (filled.index == every).all()
    assert filled["filled"].sum() == 213
    pd.testing.assert_frame_equal(
        filled.uf.fill("raw")[["close"]], frame[["close"]], check_freq=False, check_names=False, check_index_type=False
    )


def test_fill_and_back(df: pd.DataFrame, table: pa.Table):
    span = Span(START, START + 59 * MINUTE)
    for policy in ("fill", "nan"):
        made = df.uf.fill(policy)
        wanted = frames.to_output(
            gaps.fill(table, INTERVALS["1m"], span, policy), "candles", "pandas", tz="Asia/Seoul",
            attrs={**META, "gaps": policy},
        )  # fmt: skip
        pd.testing.assert_frame_equal(made, wanted)
        assert made.attrs == wanted.attrs
        assert made.uf.gaps().equals(df.uf.gaps())
        pd.testing.assert_frame_equal(made.uf.fill("raw"), df)
        pd.testing.assert_frame_equal(made.uf.resample("5m"), df.uf.resample("5m"))
    assert len(df.uf.fill("nan", start="2026-01-01 08:00", end="2026-01-01 10:00")) == 120
    with pytest.raises(InvalidRange, match="starts no further period"):
        df.uf.fill(start="2026-01-01 09:30")
    with pytest.raises(QueryError, match="policy must be one of 'raw', 'fill', 'nan', got 'zero'"):
        df.uf.fill("zero")


def test_resample(df: pd.DataFrame, table: pa.Table):
    wanted = resample(table, INTERVALS["1m"], INTERVALS["5m"])
    made = df.uf.resample("5m")
    pd.testing.assert_frame_equal(made, frames.to_output(wanted, "candles", "pandas", tz="Asia/Seoul"))
    assert made.uf.meta == {"market": "KRW-BTC", "interval": "5m", "resampled": True}
    assert len(made) == 11  # the last five minutes lack one
    assert len(df.uf.resample("5m", end="2026-01-01 10:00")) == 12
    assert len(df.uf.resample("5m", edges="keep")) == 12
    assert df.uf.resample("5m", edges="flag")["complete"].tolist() == [True] * 11 + [False]
    pd.testing.assert_frame_equal(made.uf.resample("15m"), df.uf.resample("15m"))
    with pytest.raises(InvalidInterval):
        made.uf.resample("3m")
    assert df.iloc[:0].uf.resample("5m").empty


def test_a_frame_read_from_a_file_works(df: pd.DataFrame):
    text = io.StringIO(df.to_csv())
    frame = pd.read_csv(text, parse_dates=["time"])
    assert frame.uf.meta == {}
    assert frame.uf.gaps()["periods"].tolist() == [1, 3]
    pd.testing.assert_frame_equal(
        frame.uf.resample("5m").tz_convert("Asia/Seoul"), df.uf.resample("5m"), check_index_type=False
    )
    nanos = df.copy()
    nanos.index = nanos.index.as_unit("ns").rename("when")
    assert nanos.uf.gaps().equals(df.uf.gaps())


def test_times_without_a_zone_are_not_guessed(df: pd.DataFrame):
    with pytest.raises(QueryError, match="tz_localize"):
        df.tz_localize(None).uf.gaps()


def test_disorder_is_told(df: pd.DataFrame):
    for frame in (df.iloc[::-1], pd.concat([df, df.iloc[-1:]])):
        with pytest.raises(QueryError, match="sort_index"):
            frame.uf.gaps()
        assert not frame.uf.validate().empty


def test_validate_finds_each_fault(df: pd.DataFrame):
    assert df.uf.validate().empty
    bad = df.copy()
    bad.iloc[1, bad.columns.get_loc("open")] = -1.0
    bad.iloc[2, bad.columns.get_loc("high")] = 1.0
    bad.iloc[4, bad.columns.get_loc("volume")] = -1.0
    bad.iloc[5, bad.columns.get_loc("value")] = np.inf
    bad.index = [*bad.index[:7], bad.index[6], bad.index[8] + timedelta(seconds=1), *bad.index[9:]]
    found = bad.uf.validate().set_index("check")
    assert found["rows"].to_dict() == {
        "time occurs again": 1,
        "time starts no period": 1,
        "not a finite number": 1,
        "price not above zero": 1,
        "high below low": 1,
        "open outside of low and high": 2,
        "close outside of low and high": 1,
        "volume or value below zero": 1,
    }
    assert found.loc["high below low", "first"] == bad.index[2]


def test_a_column_that_names_one_market_is_no_second_level(df: pd.DataFrame):
    made = df.assign(market="KRW-ETH").uf.resample("5m")
    assert made.index.names == ["time"]
    assert made.uf.meta["market"] == "KRW-ETH"
    trades = pd.DataFrame({"price": 1.0, "volume": 2.0, "value": 2.0, "market": "KRW-XRP"}, index=df.index)
    made = trades.uf.resample("5m", edges="keep")
    assert (made.index.names, made.uf.meta["market"]) == (["time"], "KRW-XRP")
    assert trades.assign(market=["KRW-XRP", *["KRW-BTC"] * 54]).uf.resample("5m").index.nlevels == 2


def test_rows_that_become_nothing_warn(df: pd.DataFrame):
    with pytest.warns(
        UpbitFramesWarning, match=r"no candle of 1d is complete in these 55 rows.*edges='keep'"
    ) as caught:
        assert df.uf.resample("1d").empty
    assert caught[0].filename == __file__
    assert len(df.uf.resample("1d", edges="keep")) == 1  # without a word
    assert df.iloc[:0].uf.resample("1d", frame_interval="1m").empty


@pytest.mark.parametrize("policy", ["fill", "nan"])
@pytest.mark.parametrize(
    ("interval", "freq"),
    [
        ("1s", "s"),
        ("1m", "min"),
        ("15m", "15min"),
        ("4h", "4h"),
        ("1d", "D"),
        ("1w", "W-MON"),
        ("1M", "MS"),
        ("1y", "YS-JAN"),
    ],
)
def test_a_grid_knows_its_frequency(walk: Any, interval: str, freq: str, policy: str):
    step = INTERVALS[interval]
    times = [step.shift(step.ceil(START), i) for i in (0, 1, 2, 5)]
    table = walk(4).set_column(0, "time", pa.array(times).view(pa.timestamp("us", "UTC")))
    df = frames.to_output(table, "candles", "pandas", tz="Asia/Seoul", attrs={"interval": interval})
    assert df.index.freq is None
    full = df.uf.fill(policy)
    assert len(full) == 6
    assert full.index.freq == pd.tseries.frequencies.to_offset(freq)
    assert str(full.index.dtype) == "datetime64[us, Asia/Seoul]"
    assert full.index.name == "time"
    assert full.uf.fill("raw").index.freq is None


def test_a_zone_in_which_pandas_has_no_such_frequency(walk: Any):
    times = [INTERVALS["1M"].shift(START, i) for i in range(4)]
    table = walk(4).set_column(0, "time", pa.array(times).view(pa.timestamp("us", "UTC")))
    attrs = {"interval": "1M", "gaps": "fill"}
    df = frames.to_output(table, "candles", "pandas", tz="America/New_York", attrs=attrs)
    assert df.index.freq is None
    assert df.index[0] == pd.Timestamp("2025-12-31 19:00", tz="America/New_York")


def test_several_markets_are_worked_on_one_by_one(df: pd.DataFrame, table: pa.Table):
    both = pd.concat({"KRW-BTC": df, "KRW-ETH": df.iloc[5:20]}, names=["market"])
    both.attrs = df.attrs
    found = both.uf.gaps()
    assert found["market"].tolist() == ["KRW-BTC", "KRW-BTC", "KRW-ETH"]
    assert found["periods"].tolist() == [1, 3, 3]
    five = both.uf.resample("5m")
    assert five.index.names == ["market", "time"]
    pd.testing.assert_frame_equal(five.loc["KRW-BTC"], df.uf.resample("5m"))
    pd.testing.assert_frame_equal(five.loc["KRW-ETH"], df.iloc[5:20].uf.resample("5m"))
    flat = both.reset_index()
    pd.testing.assert_frame_equal(flat.uf.resample("5m"), five)
    assert both.uf.validate().columns.tolist() == ["market", "check", "rows", "first"]
    assert both.iloc[:0].uf.resample("5m").empty


def test_trades(trades: pa.Table):
    df = frames.to_output(trades, "trades", "pandas")
    made = df.uf.resample("1m", end="2026-01-01 00:02")
    assert made["volume"].tolist() == [1.2, 2.0]
    assert made.uf.meta["interval"] == "1m"
    for act in (df.uf.gaps, df.uf.validate, df.uf.fill, df.uf.plot):
        with pytest.raises(QueryError, match="makes candles of trades"):
            act()


@pytest.mark.parametrize("name", INTERVALS)
def test_an_interval_can_be_told_from_its_times(name: str):
    one = INTERVALS[name]
    first = one.ceil(START)
    times = np.array([one.shift(first, n) for n in (0, 1, 2, 5, 9, 13)], dtype=np.int64)
    assert infer_interval(times) == one


def test_an_interval_cannot_be_told_from_one_time():
    for times in ([START], [], [START, START + 1]):
        with pytest.raises(InvalidInterval):
            infer_interval(np.array(times, dtype=np.int64))
