"""Makes archive files for the tests the way the exchange publishes them."""

from __future__ import annotations

import io
import socket
import threading
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from upbit_frames.core.intervals import Interval, Span, from_micros, to_micros
from upbit_frames.testing.server.archive_app import ArchiveApp

CANDLE_HEADER = "date_time_utc,open,high,low,close,acc_trade_price,acc_trade_volume"
TRADE_HEADER = "seq,timestamp,volume,price,ask_bid"


class Maker:
    """Text and zips of the archive's form."""

    candle_header = CANDLE_HEADER
    trade_header = TRADE_HEADER

    @staticmethod
    def zip(member: str, text: str | bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr(member, text)
        return buffer.getvalue()

    @staticmethod
    def candle_text(rows: Sequence[Sequence[float]], header: str = CANDLE_HEADER, end: str = "\n") -> str:
        """Rows of (time in us, open, high, low, close, volume, value)."""
        lines = [header]
        for moment, open_, high, low, close, volume, value in rows:
            stamp = from_micros(int(moment)).strftime("%Y-%m-%dT%H:%M:%S")
            lines.append(f"{stamp},{open_},{high},{low},{close},{value},{volume}")
        return end.join(lines) + end

    @staticmethod
    def trade_text(rows: Sequence[Sequence[object]], header: str = TRADE_HEADER) -> str:
        """Rows of (seq, time in ms, volume, price, ask_bid)."""
        return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


@pytest.fixture(scope="session")
def make() -> type[Maker]:
    return Maker


UNIT = 100_000_000


class Market:
    """A small market whose numbers follow from the time alone, so that any row can be checked."""

    def __init__(self, markets: dict[str, int]) -> None:
        self.markets = markets

    def listed(self) -> dict[str, int]:
        return self.markets

    def candle_rows(self, market: str, interval: Interval, start: int, end: int) -> Iterator[tuple[int, ...]]:
        for moment in interval.starts(max(start, self.markets[market]), end):
            turn = moment // interval.step * 2_654_435_761 % 2**32
            if turn % 11 == 0:
                continue  # nobody traded
            low = (1_000_000 + turn % 1_000) * UNIT
            prices = (low + 5 * UNIT, low + 20 * UNIT, low, low + turn % 21 * UNIT)
            volume = 1 + turn % 99_999_999_991
            yield moment, *prices, volume, volume * (low // UNIT)

    def trade_rows(self, market: str, start: int, end: int) -> Iterator[tuple[int, int, int, str]]:
        for number in range(max(start, self.markets[market]) // 60_000_000, end // 60_000_000):
            price, volume = (1_000_000 + number % 100) * UNIT, 12_345 * (1 + number % 7)
            yield number * 60_000 + 7, price, volume, "BID" if number % 2 else "ASK"

    def candles(self, market: str, interval: Interval, span: Span) -> list[tuple[float, ...]]:
        """The truth as rows of the schema."""
        return [(row[0], *(one / UNIT for one in row[1:])) for row in self.candle_rows(market, interval, *span)]

    def trades(self, market: str, span: Span) -> list[tuple[int, float, float, str]]:
        """The truth: time in us, price, volume, side."""
        return [
            (ms * 1000, price / UNIT, volume / UNIT, side.lower())
            for ms, price, volume, side in self.trade_rows(market, *span)
        ]


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what some tests are about."""


class Server:
    """The archive on a loopback port, over real sockets."""

    def __init__(self, app: ArchiveApp) -> None:
        self.app = app
        self.under_way = self.most_under_way = 0
        self.pause = 0.0
        self.stop = threading.Event()
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with lock:
                    server.under_way += 1
                    server.most_under_way = max(server.most_under_way, server.under_way)
                try:
                    self.answer()
                except OSError:
                    self.close_connection = True  # the client went away
                finally:
                    with lock:
                        server.under_way -= 1

            def answer(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                reply = server.app.handle(url.path, query or None)
                if server.stop.wait(reply.delay + server.pause) and reply.delay:
                    return
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body[: reply.drop_after])
                if reply.drop_after is not None:
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def count(self, part: str) -> int:
        return sum(part in path for path, _ in self.app.requests)

    def close(self) -> None:
        self.stop.set()
        self.http.shutdown()
        self.http.server_close()


NOW = to_micros(datetime(2026, 3, 3, 9, 30, tzinfo=UTC))


@pytest.fixture
def archive() -> Iterator[Server]:
    """An archive at 2026-03-03T09:30Z with KRW-BTC of old and KRW-NEW since 2026-02-10T06:00Z."""
    markets = {"KRW-BTC": 0, "KRW-NEW": to_micros(datetime(2026, 2, 10, 6, tzinfo=UTC))}
    server = Server(ArchiveApp(Market(markets), lambda: NOW))
    yield server
    server.close()
