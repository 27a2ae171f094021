"""``--fix`` rewrites what is safe, leaves every other byte alone, and its result runs and gives the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compat.snippets import HEAD

from upbit_frames.cli.main import main

IMPORTS = HEAD
LED = HEAD.replace("import pyupbit\n", "from upbit_frames.compat import pyupbit\n")

FIXED: dict[str, tuple[str, str, bool]] = {
    # before, after, whether the imports are led to the drop-in
    "book": (
        "# 호가\nprint(  pyupbit.get_orderbook( 'KRW-BTC' )[0] [\"market\"]  )  # 첫째\n",
        "# 호가\nprint(  pyupbit.get_orderbook( 'KRW-BTC' ) [\"market\"]  )  # 첫째\n",
        False,
    ),
    "keyword": (
        'x = pyupbit.get_orderbook(tickers="KRW-BTC")[0]\n', 'x = pyupbit.get_orderbook(ticker="KRW-BTC")\n', False,
    ),
    "sleep": (
        "for i in ('day', 'week'):\n    # 하나씩\n    x = pyupbit.get_ohlcv('KRW-BTC', i)\n\n    # 잠깐\n    time.sleep(0.1)  # 쉬기\n\nprint(x)\n",
        "for i in ('day', 'week'):\n    # 하나씩\n    x = pyupbit.get_ohlcv('KRW-BTC', i)\n\n    # 잠깐\n    # 쉬기\n\nprint(x)\n",
        True,
    ),
    "sleep between": (
        "x = pyupbit.get_tickers(); time.sleep(.5); y = 1\nif x: time.sleep(0.2)\n",
        "x = pyupbit.get_tickers(); y = 1\nif x: time.sleep(0.2)\n",
        True,
    ),
    "only a sleep": (
        "for i in ('day', 'week'):\n    x = pyupbit.get_ohlcv('KRW-BTC', i)\n    if i:\n        time.sleep(0.1)\n",
        "for i in ('day', 'week'):\n    x = pyupbit.get_ohlcv('KRW-BTC', i)\n    if i:\n        pass\n",
        True,
    ),
    "repeated": (
        "df = None\nwhile df is None:  # 될 때까지\n    df = pyupbit.get_ohlcv('KRW-BTC')\n    time.sleep(1)  # 쉬기\nprint(df)\n",
        "df = None\n# 될 때까지\n# 쉬기\ndf = pyupbit.get_ohlcv('KRW-BTC')\nprint(df)\n",
        True,
    ),
    "repeated after a call": (
        "df = pyupbit.get_ohlcv('KRW-BTC')\nwhile df is None:\n    df = pyupbit.get_ohlcv('KRW-BTC')\nprint(df)\n",
        "df = pyupbit.get_ohlcv('KRW-BTC')\nprint(df)\n",
        True,
    ),
    "by place": (
        "df = pyupbit.get_ohlcv('KRW-BTC')\nif df is not None:\n    print(df['close'][-1] / df.close.cumprod() [ -2 ], (df['open'] + 1)[-1])\n",
        "df = pyupbit.get_ohlcv('KRW-BTC')\nif df is not None:\n    print(df['close'].iloc[-1] / df.close.cumprod().iloc[-2], (df['open'] + 1).iloc[-1])\n",
        False,
    ),
    "pandas 3": (
        "df = pyupbit.get_ohlcv('KRW-BTC')\nif df is not None:\n    a = df.resample('24H', base=9).last()\n    b = df.resample(\"3T\").mean()\n    df = df.append(df[:1]).fillna(method='ffill')\n    df['close'][df['open'] > 1e9] = 0\n    c = df.resample('1M').last()\n",
        "df = pyupbit.get_ohlcv('KRW-BTC')\nif df is not None:\n    a = df.resample('24h', offset=\"9h\").last()\n    b = df.resample(\"3min\").mean()\n    df = pd.concat([df, df[:1]]).ffill()\n    df.loc[df['open'] > 1e9, 'close'] = 0\n    c = df.resample('1ME').last()\n",
        False,
    ),
}  # fmt: skip
LEFT = {
    "paces an endless loop": "while True:\n    print(pyupbit.get_current_price('KRW-BTC'))\n    time.sleep(1)\n",
    "a long sleep": "for i in range(2):\n    print(pyupbit.get_current_price('KRW-BTC'))\n    time.sleep(5)\n",
    "any to": "print(pyupbit.get_ohlcv('KRW-BTC', to='2024-01-02'))\n",
    "an interval": "print(pyupbit.get_ohlcv('KRW-BTC', 'minute60'), pyupbit.get_ohlcv('KRW-BTC', 'hour'))\n",
    "with orders": "u = pyupbit.Upbit('a', 'b')\nfor i in range(2):\n    print(pyupbit.get_tickers())\n    time.sleep(0.1)\n",
    "nothing to find": "print(pyupbit.get_tickers( ))   # 그대로\n",
}


@pytest.mark.parametrize("name", FIXED)
def test_fix(tmp_path: Path, name: str) -> None:
    before, after, led = FIXED[name]
    file = tmp_path / "script.py"
    file.write_text(IMPORTS + before, encoding="utf-8", newline="")
    main(["check", "--fix", str(file)])
    assert file.read_text(encoding="utf-8") == (LED if led else IMPORTS) + after
    fixed = file.read_bytes()
    main(["check", "--fix", str(file)])
    assert file.read_bytes() == fixed


@pytest.mark.parametrize(
    ("head", "led"),
    [
        ("import time, pyupbit as pb", "from upbit_frames.compat import pyupbit as pb; import time"),
        (
            "import time\nfrom pyupbit import get_tickers as f",
            "import time\nfrom upbit_frames.compat.pyupbit import get_tickers as f",
        ),
        ("import time\nfrom pyupbit import *", "import time\nfrom upbit_frames.compat.pyupbit import *"),
        (
            "import time\nimport upbit_frames.compat.pyupbit as pb",
            "import time\nimport upbit_frames.compat.pyupbit as pb",
        ),
    ],
)
def test_imports_are_led_to_the_drop_in(tmp_path: Path, head: str, led: str) -> None:
    call = "f" if " as f" in head else "get_tickers" if "*" in head else "pb.get_tickers"
    file = tmp_path / "script.py"
    file.write_text(f"{head}\nfor fiat in ('KRW', 'BTC'):\n    {call}(fiat)\n    time.sleep(0.1)\n")
    assert main(["check", "--fix", str(file)]) == 0
    assert file.read_text() == f"{led}\nfor fiat in ('KRW', 'BTC'):\n    {call}(fiat)\n"


@pytest.mark.parametrize("name", LEFT)
def test_what_is_not_safe_stays(tmp_path: Path, name: str) -> None:
    file = tmp_path / "script.py"
    file.write_text(IMPORTS + LEFT[name], encoding="utf-8")
    written = file.stat().st_mtime_ns
    code = main(["check", "--fix", str(file)])
    assert code == (0 if name in ("nothing to find", "a long sleep") else 1)
    assert file.read_text(encoding="utf-8") == IMPORTS + LEFT[name]
    assert file.stat().st_mtime_ns == written


def test_diff_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "script.py"
    text = "import pyupbit\nprint(pyupbit.get_orderbook('KRW-BTC')[0])\n"
    file.write_text(text)
    assert main(["check", "--diff", str(file)]) == 1
    out = capsys.readouterr().out
    assert "-print(pyupbit.get_orderbook('KRW-BTC')[0])\n+print(pyupbit.get_orderbook('KRW-BTC'))" in out
    assert file.read_text() == text


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("x = pyupbit.get_orderbook(tickers='KRW-BTC')['market']\n", "x"),
        (
            "x = []\nfor i in ('day', 'week'):\n    x.append(str(pyupbit.get_ohlcv('KRW-BTC', i)))\n    time.sleep(0.1)\n",
            "x",
        ),
        ("x = None\nwhile x is None:\n    x = pyupbit.get_ohlcv('KRW-BTC')\n    time.sleep(1)\nx = str(x)\n", "x"),
    ],
)
def test_what_was_fixed_gives_the_same(theirs: Any, ours: Any, tmp_path: Path, code: str, name: str) -> None:
    expected: dict[str, Any] = {}
    runs = IMPORTS + code.replace("tickers=", "")  # the old keyword is gone in pyupbit itself
    exec(compile(runs.replace("time.sleep(", "str("), "before.py", "exec"), expected)
    file = tmp_path / "script.py"
    file.write_text(IMPORTS + code)
    assert main(["check", "--fix", str(file)]) == 0
    actual: dict[str, Any] = {}
    exec(compile(file.read_text(), "after.py", "exec"), actual)
    assert actual[name] == expected[name]
