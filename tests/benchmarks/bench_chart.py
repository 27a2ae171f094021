"""Frame times of the interactive chart: a year of minutes, zoomed and panned in headless Chromium.

``python tests/benchmarks/bench_chart.py [chromium]`` writes the page into a temporary folder, drives it over
Chromium's debugging protocol, and prints the times between frames and the processor time of a redraw, which depends
less on what else the machine does. Prices are invented.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from websockets.sync.client import connect

import upbit_frames as uf  # registers df.uf

MINUTES = 525_600
WIDTH, HEIGHT = 1200, 700
COUNTING = """window.times = []; (function step(last) {
  requestAnimationFrame((now) => { if (last !== undefined) times.push(now - last); step(now); }) })()"""
REDRAW = """(async () => {
  const time = upbitFramesChart.levels[0].time, middle = time[Math.floor(time.length * (%d + 0.5) / 40)];
  const half = 864e5 * Math.pow(1.2, %d);
  await upbitFramesChart.draw(middle - half, middle + half);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))) })()"""


def year() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    close = np.round(1.3e8 * np.exp(np.cumsum(rng.normal(0, 4e-4, MINUTES))) / 1000) * 1000
    first = np.r_[close[:1], close[:-1]]
    columns = {
        "open": first,
        "high": np.maximum(first, close) + 1000 * rng.integers(0, 40, MINUTES),
        "low": np.minimum(first, close) - 1000 * rng.integers(0, 40, MINUTES),
        "close": close,
        "volume": np.round(rng.gamma(0.8, 2, MINUTES), 8),
    }
    columns["value"] = columns["volume"] * close
    frame = pd.DataFrame(columns, index=pd.date_range("2025-01-01", periods=MINUTES, freq="min", tz="UTC", name="time"))
    frame.attrs["upbit_frames"] = {"market": "KRW-BTC", "interval": "1m"}
    return frame


class Page:
    """A page of Chromium, by its debugging protocol."""

    def __init__(self, port: int) -> None:
        targets: list[dict[str, Any]] = []
        while not any(target["type"] == "page" for target in targets):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                    targets = json.load(answer)
            except OSError:
                time.sleep(0.2)
        url = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        self._socket = connect(url, max_size=None, proxy=None)
        self._calls = 0

    def call(self, method: str, **parameters: Any) -> Any:
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._calls:
            pass
        return answer["result"]

    def js(self, code: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=HEIGHT / 2, **more)
        time.sleep(0.02)

    def processor_ms(self) -> float:
        metrics = self.call("Performance.getMetrics")["metrics"]
        return 1000 * next(float(metric["value"]) for metric in metrics if metric["name"] == "TaskDuration")


def browse(page: Page) -> None:
    """Zoom in, pan six times, and zoom out again."""
    for _ in range(14):
        page.mouse("mouseWheel", WIDTH * 0.7, deltaX=0, deltaY=-240)
    for _ in range(6):
        page.mouse("mousePressed", 400, button="left", clickCount=1)
        for x in range(400, 800, 20):
            page.mouse("mouseMoved", x, button="left", buttons=1)
        page.mouse("mouseReleased", 800, button="left", clickCount=1)
    for _ in range(26):
        page.mouse("mouseWheel", WIDTH * 0.7, deltaX=0, deltaY=240)


def report(name: str, values: list[float]) -> None:
    p50, p95, most = np.percentile(values, [50, 95, 100])
    print(f"{name}: {len(values)}, p50 {p50:.1f} ms, p95 {p95:.1f} ms, longest {most:.1f} ms")


def main() -> None:
    print(f"upbit_frames {uf.__version__}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = year().uf.chart().to_html(Path(folder) / "year.html")
        print(f"page: {path.stat().st_size / 1e6:.1f} MB")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        line = [sys.argv[1] if len(sys.argv) > 1 else "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
                f"--remote-debugging-port={port}", f"--user-data-dir={folder}/profile", "--remote-allow-origins=*",
                f"--window-size={WIDTH},{HEIGHT}", "about:blank"]  # fmt: skip
        with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as chromium:
            try:
                measure(Page(port), path)
            finally:
                chromium.terminate()


def measure(page: Page, path: Path) -> None:
    page.call("Performance.enable", timeDomain="threadTicks")
    page.call("Page.enable")
    page.call("Page.navigate", url=path.as_uri())
    while not page.js("!!(window.upbitFramesChart && upbitFramesChart.ready)"):
        time.sleep(0.2)
    page.js(COUNTING)
    browse(page)
    report("frames while browsing", page.js("times"))
    costs = []
    for i in range(40):
        before = page.processor_ms()
        page.js(REDRAW % (i, i % 20))
        costs.append(page.processor_ms() - before)
    report("processor time of a redraw", costs)


if __name__ == "__main__":
    main()
