"""Settings: precedence, checks, and what is shown of them."""

from __future__ import annotations

import pickle
import re
import threading
from pathlib import Path
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.config import Config, current


@pytest.fixture(autouse=True)
def _restore() -> Any:
    yield
    uf.configure(tz=None, output=None, region=None, rest_url=None, rate=None)


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current().tz == "UTC"
    monkeypatch.setenv("UPBIT_FRAMES_TZ", "Asia/Tokyo")
    assert current().tz == "Asia/Tokyo"
    uf.configure(tz="Asia/Seoul")
    assert current().tz == "Asia/Seoul"
    with uf.using(tz="Europe/Berlin") as inside:
        assert inside.tz == current().tz == "Europe/Berlin"
    assert current().tz == "Asia/Seoul"
    uf.configure(tz=None)
    assert current().tz == "Asia/Tokyo"


def test_config_shows_value_and_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_FRAMES_RATE", "0.5")
    uf.configure(output="arrow")
    with uf.using(tz="Asia/Seoul"):
        rows = {name: (value, origin) for name, value, origin in uf.config.rows()}
        assert rows["rate"] == (0.5, "environment UPBIT_FRAMES_RATE")
        assert rows["output"] == ("arrow", "configure")
        assert rows["tz"] == ("Asia/Seoul", "using")
        assert rows["region"] == ("kr", "default")
        assert "Asia/Seoul" in repr(uf.config)
        assert "<table>" in uf.config._repr_html_()
    assert uf.config.output == "arrow"


def test_using_is_local_to_the_thread() -> None:
    seen = []
    with uf.using(tz="Asia/Seoul"):
        thread = threading.Thread(target=lambda: seen.append(current().tz))
        thread.start()
        thread.join()
    assert seen == ["UTC"]


@pytest.mark.parametrize(
    "settings",
    [
        {"rest_url": "http://api.upbit.com"}, {"rest_url": "ftp://x"}, {"rest_url": "api.upbit.com"}, {"ws_url": "https://x"},
        {"rest_url": "https://"}, {"rest_url": "http://127.0.0.1:notaport"}, {"region": "us"}, {"output": "csv"},
        {"record": "always"}, {"tz": "Seoul"}, {"timeout": 0}, {"timeout": "soon"}, {"rate": 0}, {"rate": 1.5},
        {"archive": "perhaps"}, {"cache_dir": 5}, {"cache_dir": b"x"},
        {"cache_dir": "a\0b"}, {"cache_dir": "~no-such-user-here/x"},
        {"cache_dir": "x" * 300}, {"cache_dir": "x/" * 5000},
        {"cache_dir": "\ud800"}, {"cache_dir": "s3://bars"}, {"cache_dir": Path("s3://bars/x")}, {"cache_dir": "file:///x"},
        {"cassette_dir": "gs://bars"}, {"cassette_dir": "a\0b"}, {"progress": "maybe"},
    ],
)  # fmt: skip
def test_impossible_values_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigError, match=next(iter(settings))):
        uf.configure(**settings)
    assert current() == Config.from_env()


def test_a_url_as_cache_dir_is_refused_with_a_hint() -> None:
    with pytest.raises(errors.ConfigError, match="shared_store"):
        uf.configure(cache_dir="s3://bars")
    with pytest.raises(errors.ConfigError, match="shared_store"):
        Config.from_env({"UPBIT_FRAMES_CACHE_DIR": "abfs://bars@account/x"})
    assert Config(cache_dir="C:/bars").cache_dir == Path("C:/bars")


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(errors.ConfigError, match="'timeout'"):
        uf.configure(time_out=3)
    with pytest.raises(errors.ConfigError, match="'output'"), uf.using(outputs="arrow"):
        pass
    with pytest.raises(errors.ConfigError):
        uf.Client(nonsense=1)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:9", "https://example.org"]
)
def test_plain_http_is_for_loopback_only(url: str) -> None:
    assert Config(rest_url=url).rest_url == url


@pytest.mark.parametrize(
    ("settings", "origin"),
    [({}, ""), ({"region": "sg"}, "sg"), ({"rest_url": "http://127.0.0.1:8080"}, "127.0.0.1_8080"),
     ({"rest_url": "https://id-api.upbit.com/"}, "id")],
)  # fmt: skip
def test_each_exchange_has_a_store_of_its_own(settings: dict[str, Any], origin: str) -> None:
    assert Config(**settings).origin == origin


def test_two_exchanges_on_one_host_and_port_have_stores_of_their_own() -> None:
    urls = ["", "/a", "/b", "/a/b", "/a_b", "/A", "/%61", "/" + "x" * 300, "/" + "x" * 301]
    origins = [Config(rest_url=f"https://example.com{path}").origin for path in urls]
    assert len(set(origins)) == len(urls)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,250}", origin) for origin in origins)
    assert Config(rest_url="https://me:pw@example.com/a").origin == Config(rest_url="https://example.com/a/").origin


@pytest.mark.parametrize(
    "url",
    ["https://exa mple.com", "https://a\x00b.com", "https://a\nb.com", "https://a..b", "https://" + "a" * 64 + ".com",
     "https://example.com?x=1", "https://example.com#x", " https://example.com", "https://", "https://[::1", "https://a:b"],
)  # fmt: skip
def test_an_odd_url_is_refused(url: str) -> None:
    with pytest.raises(errors.ConfigError):
        Config(rest_url=url)


@pytest.mark.parametrize("name", ["rest_url", "ws_url", "archive_url", "archive_listing_url"])
def test_the_password_in_a_url_is_never_shown(name: str) -> None:
    scheme = "wss" if name == "ws_url" else "https"
    settings = Config(**{name: f"{scheme}://me:s3cr3t@example.com/x"})
    with uf.using(**{name: f"{scheme}://me:s3cr3t@example.com/x"}):
        shown = [repr(settings), repr(uf.config), uf.config._repr_html_(), repr(uf.Client(settings))]
    assert all("s3cr3t" not in text for text in shown)
    assert "***@example.com" in shown[1]
    for wrong in ("ftp://me:s3cr3t@x.y", "https://me:s3cr3t@x.y:port", "https://me:/s3cr3t@x.y:port", "me:s3cr3t@x"):
        with pytest.raises(errors.ConfigError) as caught:
            Config(**{name: wrong})
        assert "s3cr3t" not in str(caught.value)


def test_region_moves_the_urls_it_implies() -> None:
    base = Config()
    assert base.replace(region="th").rest_url == "https://th-api.upbit.com"
    assert Config(rest_url="http://localhost:1").replace(region="th").rest_url == "http://localhost:1"


def test_cache_dir_is_expanded() -> None:
    assert Config(cache_dir="~/x").cache_dir == Path("~/x").expanduser()


@pytest.mark.parametrize(
    "error",
    [
        errors.NotCached("m", suggestion="s", missing=[("a", "b")], market="KRW-BTC"),
        errors.Blocked("b", until="2026-01-01"), errors.UpbitFramesError("x"), errors.InvalidRange("y"),
    ],
)  # fmt: skip
def test_errors_survive_pickling(error: errors.UpbitFramesError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.context == error.context


def test_every_error_is_in_the_drawn_tree() -> None:
    for name in errors.__all__:
        if name.endswith("Warning"):
            continue
        assert name in (errors.__doc__ or "")
        assert issubclass(getattr(errors, name), errors.UpbitFramesError)
    with pytest.raises(AttributeError):
        _ = errors.UpbitFramesError("x").nothing
