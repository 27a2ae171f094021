"""A process whose first call is still going on when it forks: ``python forking.py URL CHILDREN``."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time

import upbit_frames as uf

url, children = sys.argv[1], int(sys.argv[2])


def call() -> int:
    return len(uf.candles("KRW-BTC", "1d", count=3))


uf.configure(rest_url=url, ws_url=url.replace("http", "ws"), progress=False, rate=1.0)
first = threading.Thread(target=call)
first.start()
started = []
for _ in range(children):
    time.sleep(0.04)  # spread over the imports of the first call
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(40)  # where a child hangs
        signal.alarm(60)  # ends it
        os._exit(0 if call() == 3 else 1)
    started.append(child)
first.join()
print([os.waitpid(child, 0)[1] for child in started])
