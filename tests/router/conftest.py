"""Fixtures of the model exchange."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from model_exchange import HeardRest, ModelExchange

from upbit_frames.core.intervals import to_micros
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.clock import ManualClock, ServerTime
from upbit_frames.store.memory import MemoryStore


@pytest.fixture
def exchange() -> ModelExchange:
    clock = ManualClock(to_micros(datetime.fromisoformat("2026-03-01T12:34:56+00:00")))
    return ModelExchange(clock)


@pytest.fixture
def make_ports(exchange: ModelExchange) -> Callable[..., Ports]:
    def make(store: Any = None) -> Ports:
        server_time = ServerTime(exchange.clock)
        return Ports(RestApi(HeardRest(exchange, server_time)), store or MemoryStore(), exchange.clock, server_time)

    return make
