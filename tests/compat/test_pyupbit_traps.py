"""One warning a call site where being faithful is a trap; the stricter settings; the way back."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf

TO = "2026-02-01 12:00"


def told(code: str, **names: Any) -> list[warnings.WarningMessage]:
    """The warnings of a script of its own."""
    space: dict[str, Any] = {"pd": pd, "dt": dt, **names}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(compile(code, "script.py", "exec"), space)
    assert all(
        issubclass(one.category, uf.compat.CompatWarning) for one in caught if one.category is not ResourceWarning
    )
    return [one for one in caught if issubclass(one.category, uf.compat.CompatWarning)]


TRAPS = {
    "naive to": ('p.get_ohlcv("KRW-BTC", "minute60", to="2026-02-01 00:00")', ("2026-02-01 08:00", "KST", "UTC")),
    "naive to of days": ('p.get_ohlcv("KRW-BTC", to="2026-02-01")', ("2026-01-31", "KST")),
    "index": (
        'df = p.get_ohlcv("KRW-BTC", "minute1", count=5)\np.get_ohlcv("KRW-BTC", "minute1", to=df.index[0])',
        ("index", "KST", "UTC"),
    ),
    "index as text": (
        'df = p.get_ohlcv("KRW-BTC", "minute1", count=5)\np.get_ohlcv("KRW-BTC", "minute1", to=str(df.index[0]))',
        ("index", "KST", "UTC"),
    ),
    "interval": ('p.get_ohlcv("KRW-BTC", "minute")', ("'minute'", "daily")),
    "count": ('p.get_ohlcv("KRW-BTC", count=0)', ("count=0",)),
    "unknown market": ('p.get_ohlcv("KRW-NOPE")', ("KRW-NOPE", "last_error")),
    "bare symbol": ('p.get_ohlcv("BTC")', ("BTC", "last_error")),
    "never traded": ('p.get_ohlcv("KRW-EMPTY")', ("KRW-EMPTY", "last_error")),
    "before listing": ('p.get_ohlcv("KRW-BTC", to="2010-01-01")', ("KRW-BTC",)),
    "another type": ('p.get_ohlcv("KRW-BTC", to=5)', ("to=5",)),
    "count None": ('p.get_ohlcv("KRW-BTC", count=None)', ("count",)),
    "from after to": ('p.get_ohlcv_from("KRW-BTC", "day", "2026-02-03", "2026-02-01")', ("KRW-BTC",)),
    "naive from": ('p.get_ohlcv_from("KRW-BTC", "minute60", "2026-02-01", "2026-02-03")', ("57 rows", "KST", "UTC")),
    "comma": ('p.get_current_price("KRW-BTC,KRW-ETH")', ("first", "list")),
    "fiat": ('p.get_tickers("krw")', ("krw", "KRW")),
    "tick": ("p.get_tick_size(1000)", ("uf.instruments",)),
    "tickers": ('p.get_orderbook(tickers="KRW-BTC")', ("ticker=",)),
    "list": ('p.get_orderbook("KRW-BTC")[0]["market"]', ("[0]",)),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_warns_once_at_the_callers_line(ours: Any, name: str) -> None:
    code, words = TRAPS[name]
    caught = told(f"for _ in range(2):\n    pass\n{code}", p=ours)
    assert len(caught) == 1, [str(one.message) for one in caught]
    assert (caught[0].filename, caught[0].lineno) == ("script.py", 2 + len(code.splitlines()))
    for word in words:
        assert word in str(caught[0].message)


@pytest.mark.parametrize("name", TRAPS)
def test_a_loop_warns_once(ours: Any, name: str) -> None:
    code = TRAPS[name][0].replace("\n", "\n    ")
    assert len(told(f"for _ in range(3):\n    {code}", p=ours)) == 1


def test_a_site_warns_once_whatever_the_argument(ours: Any) -> None:
    code = 'for day in ("2026-02-01", "2026-02-02", dt.date(2026, 2, 3)):\n    p.get_ohlcv("KRW-BTC", to=day)'
    assert len(told(code, p=ours)) == 1


def test_another_trap_at_the_same_line_is_a_site_of_its_own(ours: Any) -> None:
    code = 'for to in ("2026-02-01", "nonsense"):\n    p.get_ohlcv("KRW-BTC", to=to)'
    assert len(told(code, p=ours)) == 2


@pytest.mark.parametrize(
    "code",
    [
        'p.get_ohlcv("KRW-BTC")',
        'p.get_ohlcv("KRW-BTC", "minute1", 300)',
        'p.get_ohlcv("KRW-BTC", to="2026-02-01T12:00:00Z")',
        'p.get_ohlcv("KRW-BTC", to="2026-02-01T12:00:00+09:00")',
        'p.get_ohlcv("KRW-BTC", to=dt.datetime(2026, 2, 1, tzinfo=dt.timezone.utc))',
        'p.get_ohlcv_from("KRW-BTC", "minute60", "2026-02-01T00:00+09:00", "2026-02-02T00:00+09:00")',
        'p.get_current_price(["KRW-BTC", "KRW-ETH"])',
        'p.get_current_price("KRW-BTC", limit_info=True)',
        'p.get_orderbook("KRW-BTC")["market"]',
        'p.get_tickers("KRW")',
        'p.get_daily_ohlcv_from_base("KRW-BTC", base=9)',
    ],
)
def test_what_is_no_trap_warns_nothing(ours: Any, code: str) -> None:
    assert told(code, p=ours) == []


@pytest.mark.parametrize("to", [TO, dt.date(2026, 2, 1), dt.datetime(2026, 2, 1), pd.Timestamp(TO)])
def test_a_naive_to_can_be_refused(ours: Any, to: Any) -> None:
    ours.configure(to="error")
    with pytest.raises(ValueError, match="no time zone"):
        ours.get_ohlcv("KRW-BTC", to=to)
    with pytest.raises(ValueError, match="no time zone"):
        ours.get_ohlcv_from("KRW-BTC", "day", "2026-01-01T00:00Z", to)
    assert len(ours.get_ohlcv("KRW-BTC", to="2026-02-01T00:00Z", count=3)) == 3


@pytest.mark.parametrize(
    "args",
    [("KRW-NOPE",), ("BTC",), ("KRW-BTC", "minute"), ("KRW-BTC", "day", 0), ("KRW-BTC", "day", 2.0),
     ("KRW-BTC", "day", None), ("KRW-BTC", "day", 5, 5), ("KRW-BTC", "day", 5, "2010-01-01")],
)  # fmt: skip
def test_failures_can_raise(ours: Any, args: tuple[Any, ...]) -> None:
    ours.configure(errors="raise")
    with pytest.raises(uf.errors.UpbitFramesError):
        ours.get_ohlcv(*args)


def test_an_exchange_that_fails_gives_none_and_the_reason(
    ours: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upbit_frames.exchange.transport.retry import RetryPolicy
    from upbit_frames.testing import Exchange

    monkeypatch.setattr(RetryPolicy, "pause", lambda self, attempt: 0.0)
    with Exchange(seed=7, limits=False) as failing:
        failing.faults.add("500", after=1, times=None)
        with uf.using(**failing.settings(), cache_dir=tmp_path):
            caught = told('df = p.get_ohlcv("KRW-BTC", "minute1", count=900)\nassert df is None', p=ours)
            assert len(caught) == 1
            assert isinstance(ours.last_error, uf.errors.ServerError)
            assert "KRW-BTC" in str(ours.last_error)
            assert "ServerError" in repr(ours.last_error)
            failing.faults.clear()
            assert len(ours.get_ohlcv("KRW-BTC", "minute1", count=900)) == 900


def test_old_shapes(ours: Any) -> None:
    assert isinstance(ours.get_current_price("KRW-BTC", verbose=True), list)
    ours.configure(like="0.2.29")
    row = ours.get_current_price("KRW-BTC", verbose=True)
    assert row["market"] == "KRW-BTC"
    assert isinstance(ours.get_current_price(["KRW-BTC", "KRW-ETH"], verbose=True), list)
    book = ours.get_orderbook("KRW-BTC")
    with pytest.raises(KeyError):
        book["nothing"]
    with pytest.raises(KeyError):
        book[1]


@pytest.mark.parametrize("setting", [{"to": "jst"}, {"errors": None, "like": "0.1"}, {"zone": "kst"}, {"errors": 1}])
def test_unknown_settings_are_refused(ours: Any, setting: dict[str, Any]) -> None:
    with pytest.raises(uf.errors.ConfigError):
        ours.configure(**setting)
    assert len(ours.get_ohlcv("KRW-BTC", count=2)) == 2


def test_import_is_light() -> None:
    import subprocess
    import sys

    code = (
        "import sys, pandas; before = set(sys.modules); import upbit_frames.compat.pyupbit; "
        "print(sorted(one for one in set(sys.modules) - before if one.partition('.')[0] in "
        "('httpx', 'websockets', 'pyarrow', 'msgspec', 'pyupbit', 'requests', 'libcst')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_does_not_import_it() -> None:
    import subprocess
    import sys

    code = (
        "import sys, upbit_frames as uf; assert not any('compat' in one for one in sys.modules if "
        "one.startswith('upbit_frames')); print(uf.compat.ab.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ab"
