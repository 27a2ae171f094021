"""Invented prices are the same to the last digit whatever the CPU and the libraries' versions."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.testing.market.exact_math import exp, exponentials, log, normals, seeded
from upbit_frames.testing.market.listings import default_listings
from upbit_frames.testing.market.model import MarketModel

DAY = 86_400_000_000
# Of every market's trades on ten days, its books and its year. A change means that all cassettes and
# notebooks have to be recorded again (cassettes/README.md), on purpose.
DIGEST = "1a35b770b59d145745712bb1ec2bb36d03ffdb37bfe2f48fbef212dfda141fbf"


def digest() -> str:
    model, found = MarketModel(seed=7, listings=default_listings("kr", extra=10)), hashlib.sha256()
    for listing in model.markets(1_772_323_200_000_000):
        for day in (18_000, 19_400, 20_100, 20_300, 20_450, 20_509, 20_510, 20_511, 20_512, 20_513):
            trades = model.trades(listing.market, day * DAY, (day + 1) * DAY)
            for column in (trades.ms, trades.price, trades.volume, trades.bid):
                found.update(np.ascontiguousarray(column).tobytes())
            book = model.book(listing.market, day * DAY + 12_345_678_000)
            for column in (book.ask_price, book.ask_size, book.bid_price, book.bid_size):
                found.update(np.ascontiguousarray(column).tobytes())
        found.update(repr(model.ticker(listing.market, 1_772_323_200_000_000)).encode())
    return found.hexdigest()


def test_the_committed_digest():
    assert digest() == DIGEST


def without_vector_instructions() -> list[dict[str, str]]:
    """Environments in which numpy, and where it can be told so the C library, use the oldest instructions only."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    numpy = {"NPY_DISABLE_CPU_FEATURES": " ".join(extensions.get("found", []))}
    return [numpy, {**numpy, "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4"}]


@pytest.mark.parametrize("environment", without_vector_instructions(), ids=["numpy", "numpy and C library"])
def test_the_digest_does_not_depend_on_the_instruction_set(environment):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, DIGEST), done.stderr


@given(st.floats(-60, 60))
def test_exp_is_the_exponential(x):
    assert abs(float(exp(x)) - math.exp(x)) <= 2 * math.ulp(math.exp(x))


@given(st.floats(1e-30, 1e30))
def test_log_is_the_logarithm(x):
    assert abs(log(x) - math.log(x)) <= 3 * max(math.ulp(math.log(x)), 2**-53)


def test_random_numbers_keep_within_the_tables():
    drawn = normals(seeded(1, "n"), 200_000)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01
    assert np.abs(drawn).max() == 3.6541528853610088
    assert exponentials(seeded(1, "e"), 200_000).max() == 7.69711747013104972


if __name__ == "__main__":
    print(digest())
