"""``uf.dashboard``: what the calls of this process were like, as a picture."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from upbit_frames.api.metrics import EVENTS, summaries
from upbit_frames.core import arguments
from upbit_frames.core.endpoints import LIMITS
from upbit_frames.errors import UsageError
from upbit_frames.frames.plot.style import Style, style_of
from upbit_frames.runtime.telemetry import CallRecord, count_events, telemetry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LiveDashboard", "dashboard"]

# One colour a channel, distinguishable without red-green vision.
CHANNELS = {
    "rest": "#1f63c4", "live": "#d6304a", "store": "#1a936f", "memory": "#8f6bb3", "archive": "#c98a1b",
    "derived": "#5b6f2a",
    "failed": "#3c4149", "none": "#9aa1ab",
}  # fmt: skip
OTHER = "#5aa9b8"
MAX_ROWS = 8  # calls in the table of percentiles
MIN_SPAN = 10.0  # seconds


def dashboard(*, seconds: float = 300.0, live: bool = False, every: float = 1.0, style: str | Style = "korean") -> Any:
    """Draw latency, channels, request rate, ages and errors of the last minutes in one figure.

    Parameters
    ----------
    seconds : float
        How far back to look.
    live : bool
        In a notebook: redraw it every ``every`` seconds below the cell, while other cells run.
    every : float
        Seconds between two pictures, at least 0.2.
    style : str or Style
        As for ``df.uf.plot``.

    Returns
    -------
    matplotlib.figure.Figure
        With ``live=True`` a :class:`LiveDashboard`; ``.stop()`` ends it, as does the end of the kernel.

    Raises
    ------
    QueryError
        For times that are none.
    UsageError
        If ``live=True`` is given outside of a notebook.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.dashboard().savefig("dashboard.png")  # doctest: +SKIP
    """
    seconds = arguments.number("seconds", seconds, 0, above=True)
    every = arguments.number("every", every, 0, above=True)
    look = style_of(style)
    return LiveDashboard(seconds, max(0.2, every), look) if live else draw(seconds, look)


class LiveDashboard:
    """A picture that is redrawn periodically; returned by ``uf.dashboard(live=True)``.

    Parameters
    ----------
    seconds, every : float
    style : Style
    """

    def __init__(self, seconds: float, every: float, style: Style) -> None:
        if not _in_notebook():
            raise UsageError(
                "a live dashboard needs a notebook", suggestion="outside of one use uf.dashboard().savefig(…)"
            )
        from IPython.display import display

        self._seconds, self._every, self._style = seconds, every, style
        self._ended = threading.Event()
        self._handle: Any = display(self._picture(), display_id=True)  # type: ignore[no-untyped-call]
        self._thread = threading.Thread(target=self._run, name="upbit_frames-dashboard", daemon=True)
        self._thread.start()

    def _picture(self) -> Any:
        import io

        from IPython.display import Image

        with io.BytesIO() as file:
            draw(self._seconds, self._style).savefig(file, format="png", dpi=100)
            return Image(file.getvalue())  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            with contextlib.suppress(Exception):  # a picture less is no reason to disturb other cells
                self._handle.update(self._picture())

    @property
    def running(self) -> bool:
        """Whether it is still redrawn."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Draw it no more; the last picture stays. May be called twice."""
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5.0)

    def __repr__(self) -> str:
        return f"<LiveDashboard: {'running' if self.running else 'stopped'}>"


def _in_notebook() -> bool:
    import sys

    shell = sys.modules.get("IPython.core.getipython")
    return shell is not None and shell.get_ipython() is not None


# --- the picture ----------------------------------------------------------------------------------


def draw(seconds: float, style: Style) -> Figure:
    """A figure of its own, known to no pyplot, so that nothing has to be closed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    now = time.time()
    calls = telemetry.records(now - seconds)
    moments = [request.at for request in telemetry.requests_since(now - seconds)]
    began = min([call.at for call in calls] + moments, default=now - MIN_SPAN)
    span = max(MIN_SPAN, now - began)
    figure = Figure(figsize=(11, 7.2), facecolor=style.paper, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 2, height_ratios=(0.42, 1.25, 1), width_ratios=(1.7, 1))
    _tiles(figure.add_subplot(grid[0, :]), calls, seconds, now, style)
    _latency(figure.add_subplot(grid[1, 0]), calls, now, span, style)
    _shares(figure.add_subplot(grid[1, 1]), calls, style)
    _rate(figure.add_subplot(grid[2, 0]), seconds, now, span, style)
    _percentiles(figure.add_subplot(grid[2, 1]), calls, style)
    return figure


def _plain(axes: Axes, title: str, style: Style, *, grid: str | None = "y") -> None:
    axes.set_facecolor(style.paper)
    axes.set_title(title, loc="left", fontsize=10, color=style.ink, fontweight="bold")
    axes.tick_params(which="both", colors=style.ink, labelsize=8, length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side == "bottom")
        axes.spines[side].set_color(style.grid)
    axes.set_axisbelow(True)
    if grid is not None:
        axes.grid(axis=grid, color=style.grid, linewidth=0.8)  # type: ignore[arg-type]


def _empty(axes: Axes, style: Style, text: str = "no calls yet") -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=style.flat, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def _tiles(axes: Axes, calls: list[CallRecord], seconds: float, now: float, style: Style) -> None:
    """The numbers that should be small, and how many calls there were."""
    counts = count_events(telemetry.events_since(now - seconds))
    tiles = [
        ("calls", len(calls), False),
        ("without a request", sum(1 for call in calls if call.hit), False),
        ("requests", sum(call.requests for call in calls), False),
        ("retries", sum(call.retries for call in calls), True),
        ("429 / 418", sum(call.refusals for call in calls), True),
        ("errors", sum(1 for call in calls if call.error), True),
        *((f"stream {name}", counts[name], True) for name in EVENTS),
    ]
    axes.set_axis_off()
    for place, (name, number, bad) in enumerate(tiles):
        x = (place + 0.5) / len(tiles)
        colour = style.up if bad and number else style.ink
        axes.text(x, 0.68, f"{number:,}", transform=axes.transAxes, ha="center", va="center", fontsize=19, color=colour)
        axes.text(x, 0.14, name, transform=axes.transAxes, ha="center", va="center", fontsize=8, color=style.flat)


def _colour(channel: str) -> str:
    return CHANNELS.get(channel, OTHER)


def _latency(axes: Axes, calls: list[CallRecord], now: float, span: float, style: Style) -> None:
    _plain(axes, "What callers waited, ms", style)
    if not calls:
        return _empty(axes, style)
    by: dict[str, list[CallRecord]] = defaultdict(list)
    for call in calls:
        by[call.channel or "-"].append(call)
    for channel, group in sorted(by.items(), key=lambda item: -len(item[1])):
        axes.scatter(
            [call.at - now for call in group], [max(1e-3, call.seconds * 1000) for call in group],
            s=14, alpha=0.6, linewidths=0, color=_colour(channel), label=channel,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _ago(axes, span)
    axes.legend(loc="upper left", fontsize=8, frameon=False, labelcolor=style.ink, ncols=4, handletextpad=0.1)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.12)  # room for the legend
    return None


def _ago(axes: Axes, span: float) -> None:
    axes.set_xlim(-span * 1.02, span * 0.02)
    axes.xaxis.set_major_formatter(lambda value, _: "now" if abs(value) < 1e-9 else f"{-value:g} s ago")


def _shares(axes: Axes, calls: list[CallRecord], style: Style) -> None:
    _plain(axes, "Source", style, grid=None)
    shares = Counter(call.channel or "-" for call in calls).most_common(MAX_ROWS)
    if not shares:
        return _empty(axes, style)
    names = [name for name, _ in shares][::-1]
    numbers = [number for _, number in shares][::-1]
    axes.barh(names, numbers, color=[_colour(name) for name in names], height=0.6)
    for place, number in enumerate(numbers):
        text = f" {number:,} ({number / len(calls):.0%})"
        axes.text(number, place, text, va="center", fontsize=8, color=style.ink)
    axes.set_xlim(0, max(numbers) * 1.4)
    axes.set_ylim(-0.6, max(2.6, len(names) - 0.4))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return None


def _rate(axes: Axes, seconds: float, now: float, span: float, style: Style) -> None:
    """Requests in every second, by limit group, against the limit of one."""
    _plain(axes, "Requests a second, by limit group", style)
    requests = [(request.at, request.group) for request in telemetry.requests_since(now - seconds)]
    if not requests:
        return _empty(axes, style, "no requests")
    width = max(1.0, span / 150)  # bars that can be seen
    groups = sorted({group for _, group in requests})
    bottom: dict[int, float] = defaultdict(float)
    palette = [*CHANNELS.values()]
    for place, group in enumerate(groups):
        slots = Counter(int((at - now) // width) for at, name in requests if name == group)
        heights = [number / width for number in slots.values()]
        axes.bar(
            [(slot + 0.5) * width for slot in slots], heights, width=width * 0.86,
            bottom=[bottom[slot] for slot in slots], color=palette[place % len(palette)], label=group,
        )  # fmt: skip
        for slot, height in zip(slots, heights, strict=True):
            bottom[slot] += height
    limit = LIMITS["candles"]
    axes.axhline(limit, color=style.flat, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.text(-span, limit, " limit of each group", va="bottom", fontsize=7.5, color=style.flat)
    axes.set_ylim(0, max(limit * 1.35, max(bottom.values()) * 1.25))
    _ago(axes, span)
    axes.legend(loc="upper right", fontsize=8, frameon=False, labelcolor=style.ink, ncols=3, handlelength=1.0)
    return None


def _percentiles(axes: Axes, calls: list[CallRecord], style: Style) -> None:
    _plain(axes, "p50 — p95 — p99, ms", style, grid="x")
    rows = list(summaries(calls, ["call", "channel"]).items())[:MAX_ROWS][::-1]
    if not rows:
        return _empty(axes, style)
    for place, ((_, channel), counts) in enumerate(rows):
        p50, p95, p99 = (max(1e-3, counts[name]) for name in ("p50_ms", "p95_ms", "p99_ms"))
        axes.plot([p50, p99], [place, place], color=_colour(channel), linewidth=2, alpha=0.35, solid_capstyle="round")
        axes.scatter([p50, p95, p99], [place] * 3, s=[34, 16, 8], color=_colour(channel), linewidths=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(rows)), [f"{call} · {channel}" for (call, channel), _ in rows])
    axes.set_ylim(-0.6, max(2.6, len(rows) - 0.4))
    return None
