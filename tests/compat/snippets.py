"""Scripts of the usual kind, each with what the checker has to find in it: (rule, line)."""

from __future__ import annotations

HEAD = "import pyupbit\nimport datetime\nimport time\nimport pandas as pd\n"

PLANTED: dict[str, tuple[str, set[tuple[str, int]]]] = {
    "naive text": ('df = pyupbit.get_ohlcv("KRW-BTC", "day", to="2024-01-02 12:00")\nprint(df)', {("PYU101", 5)}),
    "naive datetime in a name": (
        'end = datetime.datetime(2024, 1, 2)\nprint(pyupbit.get_ohlcv("KRW-BTC", to=end))', {("PYU101", 6)},
    ),
    "positional": ('print(pyupbit.get_ohlcv("KRW-BTC", "day", 200, "20240102"))', {("PYU101", 5)}),
    "f-string": ('for day in ["2024-01-02"]:\n    print(pyupbit.get_ohlcv("KRW-BTC", to=f"{day} 09:00:00"))', {("PYU101", 6)}),
    "now": ('print(pyupbit.get_ohlcv("KRW-BTC", to=datetime.datetime.now() - datetime.timedelta(days=1)))', {("PYU102", 5)}),
    "index in a loop": (
        'to = None\nwhile True:\n    df = pyupbit.get_ohlcv("KRW-BTC", "day", to=to)\n    if df is None:\n        break\n'
        "    to = df.index[0]",
        {("PYU103", 7)},
    ),
    "smallest of the index": (
        'to = None\nfor i in range(3):\n    df = pyupbit.get_ohlcv("KRW-BTC", "day", 200, to)\n    if df is None:\n        break\n'
        "    to = str(min(df.index))",
        {("PYU103", 7)},
    ),
    "day in an f-string": (
        'print(pyupbit.get_ohlcv("KRW-BTC", to=f"{datetime.datetime.now():%Y%m%d}"))', {("PYU104", 5)},
    ),
    "intervals in a loop": (
        'for i in ["day", "minute1"]:\n    print(pyupbit.get_ohlcv("KRW-BTC", i))', {("PYU306", 6)},
    ),
    "frame of an object": (
        'class Bot:\n    def __init__(self):\n        self.df = pyupbit.get_ohlcv("KRW-BTC")\n'
        '    def last(self):\n        return self.df["close"][-1]',
        {("PYU401", 9)},
    ),
    "day": ('to = datetime.datetime.now().strftime("%Y%m%d")\nprint(pyupbit.get_ohlcv("KRW-BTC", to=to))', {("PYU104", 6)}),
    "nine hours": (
        "kst = datetime.datetime(2024, 1, 2)\n"
        'print(pyupbit.get_ohlcv("KRW-BTC", to=kst - datetime.timedelta(hours=9)))',
        {("PYU105", 6)},
    ),
    "from": ('print(pyupbit.get_ohlcv_from("KRW-BTC", "day", "2024-01-01", "2024-01-03"))', {("PYU106", 5)}),
    "blocks": (
        "for i in range(5):\n    end = pd.Timestamp('2024-01-02') - pd.Timedelta(days=200 * i)\n"
        '    print(pyupbit.get_ohlcv("KRW-BTC", "day", count=200, to=end))',
        {("PYU101", 7), ("PYU107", 7)},
    ),
    "untested": ('df = pyupbit.get_ohlcv("KRW-BTC")\nprint(df["close"].mean())', {("PYU201", 5)}),
    "untested at once": ('print(pyupbit.get_ohlcv("KRW-BTC")["close"].mean())', {("PYU201", 5)}),
    "repeated": (
        'df = pyupbit.get_ohlcv("KRW-BTC")\nwhile df is None:\n    df = pyupbit.get_ohlcv("KRW-BTC")\n    time.sleep(5)',
        {("PYU202", 7)},
    ),
    "list of a book": ('print(pyupbit.get_orderbook("KRW-BTC")[0]["market"])', {("PYU203", 5)}),
    "old keyword": ('print(pyupbit.get_orderbook(tickers="KRW-BTC"))', {("PYU203", 5)}),
    "through a name": ('books = pyupbit.get_orderbook("KRW-BTC")\nprint(books[0]["market"])', {("PYU203", 6)}),
    "verbose": ('print(pyupbit.get_current_price("KRW-BTC", verbose=True)["trade_price"])', {("PYU204", 5)}),
    "swallowed": ('try:\n    print(pyupbit.get_current_price("KRW-BTC"))\nexcept:\n    pass', {("PYU205", 7)}),
    "sleep": (
        'for interval in ("day", "week"):\n    print(pyupbit.get_ohlcv("KRW-BTC", interval))\n    time.sleep(0.1)',
        {("PYU301", 7)},
    ),
    "one a market": ('for t in ["KRW-BTC", "KRW-ETH"]:\n    print(pyupbit.get_current_price(t))', {("PYU302", 6)}),
    "one a market through a function": (
        'def price(t):\n    return pyupbit.get_current_price(t)\nfor t in ["KRW-BTC", "KRW-ETH"]:\n    print(price(t))',
        {("PYU302", 8)},
    ),
    "comprehension": ('print([pyupbit.get_current_price(t) for t in ["KRW-BTC"]])', {("PYU302", 5)}),
    "files": (
        'import os\nif os.path.exists("a.csv"):\n    df = pd.read_csv("a.csv")\nelse:\n    df = pyupbit.get_ohlcv("KRW-BTC")\n'
        '    if df is not None:\n        df.to_csv("a.csv")',
        {("PYU303", 7)},
    ),
    "polling": (
        'while True:\n    print(pyupbit.get_current_price("KRW-BTC"))\n    time.sleep(1)', {("PYU304", 6), ("PYU301", 7)},
    ),
    "polling through a function": (
        'def price(t):\n    return pyupbit.get_current_price(t)\nwhile True:\n    print(price("KRW-BTC"))', {("PYU304", 8)},
    ),
    "socket": ('wm = pyupbit.WebSocketManager("ticker", ["KRW-BTC"])\nprint(wm.get())', {("PYU305", 5)}),
    "interval": ('print(pyupbit.get_ohlcv("KRW-BTC", "minute60"))', {("PYU306", 5)}),
    "unknown interval": ('print(pyupbit.get_ohlcv("KRW-BTC", interval="hour"))', {("PYU306", 5)}),
    "last of a series": (
        'df = pyupbit.get_ohlcv("KRW-BTC")\nif df is not None:\n    print(df["close"][-1], df.close.cumprod()[-2])',
        {("PYU401", 7)},
    ),
    "series in a name": (
        'df = pyupbit.get_ohlcv("KRW-BTC")\nassert df is not None\nma = df["close"].rolling(5).mean()\nprint(ma[-1])',
        {("PYU401", 8)},
    ),
    "frequency": (
        'df = pyupbit.get_ohlcv("KRW-BTC")\nif df is not None:\n    print(df.resample("3T").last(), df.resample("24H", base=9))',
        {("PYU402", 7)},
    ),
    "append": (
        'df = pyupbit.get_ohlcv("KRW-BTC")\nif df is not None:\n    df = df.append(df)\n    df = df.fillna(method="ffill")',
        {("PYU402", 7), ("PYU402", 8)},
    ),
    "chained by place": (
        'df = pyupbit.get_ohlcv("KRW-BTC")\nif df is not None:\n    df["close"].iloc[-1] = 0', {("PYU402", 7)},
    ),
    "chained": (
        'df = pyupbit.get_ohlcv("KRW-BTC")\nif df is not None:\n    df["close"][df["open"] > 1] = 0', {("PYU402", 7)},
    ),
}  # fmt: skip

CLEAN = [
    'import os\nif not os.path.exists("logs"):\n    os.mkdir("logs")\ndf = pyupbit.get_ohlcv("KRW-BTC")\n'
    'if df is not None:\n    df.to_csv("a.csv")',
    'df = pyupbit.get_ohlcv("KRW-BTC", count=200)\nif df is None:\n    raise SystemExit\nprint(df["close"].iloc[-1])',
    'df = pyupbit.get_ohlcv("KRW-BTC", to="2024-01-02T12:00:00Z")\nif df is not None:\n    print(df.resample("24h", offset="9h").last())',
    'to = datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)\nprint(pyupbit.get_ohlcv("KRW-BTC", to=to))',
    'print(pyupbit.get_orderbook(["KRW-BTC", "KRW-ETH"])[0]["market"])',
    'books = pyupbit.get_orderbook(pyupbit.get_tickers("KRW"))\nprint(books[0])',
    'print(pyupbit.get_current_price(["KRW-BTC", "KRW-ETH"])["KRW-BTC"])',
    'print(pyupbit.get_current_price("KRW-BTC", verbose=True)[0]["trade_price"])',
    'try:\n    print(pyupbit.get_current_price("KRW-BTC"))\nexcept Exception as error:\n    print(error)',
    'rows = [1, 2]\nrows.append(3)\nprint(rows[-1], {"close": rows}["close"][-1], "24H", pyupbit.get_tickers())',
    "for t in pyupbit.get_tickers():\n    print(t)\nprint(1)\ntime.sleep(0.5)",
    'print(pyupbit.get_ohlcv_from("KRW-BTC", "day", "2024-01-01T00:00+09:00", "2024-01-03T00:00+09:00"))',
    'def later():\n    time.sleep(0.5)\nprint(pyupbit.get_current_price("KRW-BTC"))',
]
