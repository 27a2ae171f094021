"""Power fails at any moment, and of what was not synchronised any part may be on the disk.

The store's calls of the system are carried out and recorded. When the power goes off, the disk is
made anew from the record: files hold what was synchronised, any part of what was not; of the
changes of names not synchronised any subset has happened. Then every acknowledged row must be
there, no half file may be read, and the next run must do its work.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import CorruptFile, UpbitFramesWarning
from upbit_frames.store import atomic_files, directories, encoding
from upbit_frames.store.base import Series
from upbit_frames.store.layout import parse_name
from upbit_frames.store.parquet import ParquetStore

EXAMPLES = int(os.environ.get("UPBIT_FRAMES_TEST_POWER_LOSS", "25"))
MINUTE = 60_000_000
CELLS = 240
START = 1_706_745_600_000_000 - CELLS // 2 * MINUTE  # two hours on each side of 1 February 2024
SERIES = Series("candles", "KRW-BTC", "1m")


class PowerOff(BaseException):
    """Nothing after this reaches the disk."""


class Node:
    """A file or a folder, as programs see it and as it is on the disk."""

    def __init__(self, *, folder: bool) -> None:
        self.folder = folder
        self.names: dict[str, Node] = {}
        self.names_on_disk: dict[str, Node] = {}
        self.data = b""
        self.data_on_disk = b""


class Disk:
    """Stands in for ``os`` in :mod:`upbit_frames.store.directories`: carries out, and remembers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = Node(folder=True)
        self.open_nodes: dict[int, Node] = {}
        self.pending: list[tuple[set[int], Callable[[], None]]] = []  # changes of names: in which folders, and what
        self.steps = 0
        self.last: int | None = None
        self.off_at_removal = False  # as soon as a stored file is to be removed

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    # --- what the store calls --------------------------------------------------------------------

    def _step(self) -> None:
        self.steps += 1
        if self.last is not None and self.steps >= self.last:
            raise PowerOff

    def _change(self, folders: list[Node], change: Callable[[], None]) -> None:
        self.pending.append(({id(one) for one in folders}, change))

    def _link(self, parent: Node, name: str, node: Node) -> None:
        parent.names[name] = node
        self._change([parent], lambda: parent.names_on_disk.__setitem__(name, node))

    def _unlink(self, parent: Node, name: str) -> None:
        node = parent.names.pop(name, None)  # locks are not in the model
        if node is not None:
            self._change([parent], lambda: _remove(parent.names_on_disk, name, node))

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self._step()
        handle = os.open(path, flags, mode, dir_fd=dir_fd)
        if dir_fd is None:
            assert Path(path) == self.root
            self.open_nodes[handle] = self.tree
            return handle
        parent = self.open_nodes[dir_fd]
        if path not in parent.names:
            assert flags & os.O_CREAT, path
            self._link(parent, path, Node(folder=False))
        self.open_nodes[handle] = parent.names[path]
        return handle

    def close(self, handle: int) -> None:
        self.open_nodes.pop(handle, None)
        os.close(handle)

    def write(self, handle: int, data: Any) -> int:
        node = self.open_nodes[handle]
        half = bytes(data)[: max(1, len(data) // 2)]  # written in several pieces
        try:
            self._step()
        except PowerOff:
            node.data += half
            raise
        node.data += half
        return os.write(handle, half)

    def fsync(self, handle: int) -> None:
        self._step()
        node = self.open_nodes[handle]
        if not node.folder:
            node.data_on_disk = node.data
            return
        for folders, change in self.pending:
            if id(node) in folders:
                change()
        self.pending = [one for one in self.pending if id(node) not in one[0]]

    def replace(self, name: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        self._step()
        os.replace(name, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        source, goal = self.open_nodes[src_dir_fd], self.open_nodes[dst_dir_fd]
        node = source.names.pop(name)
        goal.names[target] = node

        def change() -> None:
            _remove(source.names_on_disk, name, node)
            goal.names_on_disk[target] = node

        self._change([source, goal], change)

    def unlink(self, name: str, *, dir_fd: int) -> None:
        self._step()
        if self.off_at_removal and parse_name(name):
            raise PowerOff
        os.unlink(name, dir_fd=dir_fd)
        self._unlink(self.open_nodes[dir_fd], name)

    def mkdir(self, name: str, mode: int = 0o777, *, dir_fd: int) -> None:
        self._step()
        os.mkdir(name, mode, dir_fd=dir_fd)
        self._link(self.open_nodes[dir_fd], name, Node(folder=True))

    def rmdir(self, name: str, *, dir_fd: int) -> None:
        self._step()
        os.rmdir(name, dir_fd=dir_fd)
        self._unlink(self.open_nodes[dir_fd], name)

    def rmtree(self, name: str, *, dir_fd: int, ignore_errors: bool) -> None:
        """Stands in for ``shutil.rmtree``: every file goes by itself."""
        parent = self.open_nodes[dir_fd]
        folder = parent.names[name]
        for inner, node in list(folder.names.items()):
            self._step()
            if node.folder:
                for leaf in list(node.names):
                    self._unlink(node, leaf)
            self._unlink(folder, inner)
        shutil.rmtree(name, dir_fd=dir_fd)
        self._unlink(parent, name)

    def sync_all(self) -> None:
        """All names reach the disk, as they do after a while."""
        for _, change in self.pending:
            change()
        self.pending.clear()

    # --- when the power goes off -----------------------------------------------------------------

    def power_off(self, choose: random.Random, share: float) -> Path:
        """Make a folder of what may be on the disk, and go on with that."""
        for _, change in self.pending:
            if choose.random() < share:
                change()
        folder = Path(tempfile.mkdtemp(prefix="uf-power-"))
        _settle(self.tree, folder, choose)
        shutil.rmtree(self.root)
        for handle in list(self.open_nodes):
            self.close(handle)
        self.pending.clear()
        self.root = folder
        return folder


def _remove(names: dict[str, Node], name: str, node: Node) -> None:
    if names.get(name) is node:
        del names[name]


def _settle(node: Node, path: Path, choose: random.Random) -> None:
    node.names = dict(node.names_on_disk)
    for name, inner in node.names.items():
        if inner.folder:
            (path / name).mkdir()
            _settle(inner, path / name, choose)
            continue
        if inner.data != inner.data_on_disk:
            rest = inner.data[len(inner.data_on_disk) :]
            some = rest[: choose.randrange(len(rest) + 1)]
            inner.data = inner.data_on_disk + choose.choice([b"", some, rest, bytes(len(rest)), some[::-1]])
            inner.data_on_disk = inner.data
        (path / name).write_bytes(inner.data)


# --- the machine ----------------------------------------------------------------------------------

UNKNOWN, SILENT = -1, 0  # versions begin at 1
State = Any  # of each minute UNKNOWN, SILENT, or the version of its row


def candles(versions: dict[int, int]) -> pa.Table:
    times = pa.array([START + cell * MINUTE for cell in versions], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    values = pa.array([float(version) for version in versions.values()], pa.float64())
    return pa.Table.from_arrays([times, *[values] * 6], schema=arrow_schema("candles"))


class PowerLoss(RuleBasedStateMachine):
    """Anything that changes a store, cut short anywhere."""

    power_offs = 0
    writes = 0

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk(Path(tempfile.mkdtemp(prefix="uf-power-")))
        self.patches = [
            mock.patch.object(directories, "os", self.disk),
            mock.patch.object(directories, "shutil", SimpleNamespace(rmtree=self.disk.rmtree)),
            mock.patch.object(atomic_files, "TICK", 0),
        ]
        self.model: State = np.full(CELLS, UNKNOWN)
        self.ghosts: State = np.full(CELLS, UNKNOWN)  # pruned rows that may come back until names are synchronised
        self.notes: dict[str, int] = {}
        self.version = 0
        self.open()

    def open(self) -> None:
        encoding._forget_all()
        self.store = ParquetStore(self.disk.root)

    def teardown(self) -> None:
        shutil.rmtree(self.disk.root)
        for handle in list(self.disk.open_nodes):
            self.disk.close(handle)

    def observed(self) -> State:
        found = np.full(CELLS, UNKNOWN)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UpbitFramesWarning)
            while True:
                try:
                    table = self.store.read(SERIES, Span(START, START + CELLS * MINUTE))
                    break
                except CorruptFile:
                    continue
        for span in self.store.covered(SERIES):
            low, high = ((edge - START) // MINUTE for edge in span)
            found[max(0, low) : max(0, high)] = SILENT
        cells = (np.asarray(table.column("time").cast("int64")) - START) // MINUTE
        assert (found[cells] == SILENT).all()
        found[cells] = np.asarray(table.column("close")).astype(int)
        return found

    def attempt(self, action: Callable[[], Any], cut: int | None, seed: int) -> bool:
        """Do something; False if the power failed meanwhile (or right after, where ``cut`` is large)."""
        self.disk.steps, self.disk.last = 0, cut
        with self.patches[0], self.patches[1], self.patches[2], warnings.catch_warnings():
            warnings.simplefilter("ignore", UpbitFramesWarning)
            try:
                action()
                done = True
            except PowerOff:
                done = False
            self.disk.last = None
            if cut is not None:
                choose = random.Random(seed)
                self.disk.power_off(choose, choose.choice([0.0, 0.3, 0.7, 1.0]))
                PowerLoss.power_offs += 1
                self.open()
        return done

    def check(self, *allowed: State, notes: tuple[dict[str, int], ...] = ()) -> None:
        """Each minute must be as in one of the states; then that is how it is."""
        with self.patches[0], self.patches[1], self.patches[2]:
            found = self.observed()
            right = np.zeros(CELLS, bool)
            for state in allowed:
                right |= found == state
            right |= (self.ghosts != UNKNOWN) & (found == self.ghosts)
            assert right.all(), [
                (cell, found[cell], [state[cell] for state in allowed]) for cell in np.flatnonzero(~right)
            ]
            self.model = found
            kept = self.store.notes(SERIES)
            assert kept in (notes or (self.notes,)), kept
            self.notes = kept

    cuts = st.none() | st.integers(1, 60) | st.just(10_000)
    seeds = st.integers(0, 2**32)

    @rule(data=st.data(), replace=st.booleans(), cut=cuts, seed=seeds)
    def write(self, data: st.DataObject, replace: bool, cut: int | None, seed: int) -> None:
        low = data.draw(st.integers(0, CELLS - 1), label="low")
        high = data.draw(st.integers(low + 1, min(CELLS, low + data.draw(st.sampled_from([3, 12, 200])))), label="high")
        self.version += 1
        versions = {cell: self.version for cell in range(low, high) if cell % 7}
        span = Span(START + low * MINUTE, START + high * MINUTE)
        after = self.model.copy()
        cells = np.arange(low, high)
        cells = cells if replace else cells[self.model[cells] == UNKNOWN]
        after[cells] = np.where(cells % 7, self.version, SILENT)
        done = self.attempt(lambda: self.store.write(SERIES, candles(versions), span, replace=replace), cut, seed)
        if done and (after != self.model).any():
            self.ghosts[:] = UNKNOWN
            PowerLoss.writes += 1
        self.check(*([after] if done else [self.model, after]))

    @rule(cut=cuts, seed=seeds)
    def compact(self, cut: int | None, seed: int) -> None:
        self.attempt(lambda: self.store.compact(SERIES), cut, seed)
        self.check(self.model)

    @rule(key=st.sampled_from("ab"), value=st.integers(0, 9), cut=cuts, seed=seeds)
    def note(self, key: str, value: int, cut: int | None, seed: int) -> None:
        after = {**self.notes, key: value}
        done = self.attempt(lambda: self.store.note(SERIES, key, value), cut, seed)
        self.check(self.model, notes=(after,) if done else (self.notes, after))

    @rule(cut=cuts, seed=seeds, share=st.integers(0, 9))
    def clear(self, cut: int | None, seed: int, share: int) -> None:
        if share > 2:  # or there would hardly ever be anything
            return
        empty = np.full(CELLS, UNKNOWN)
        done = self.attempt(lambda: self.store.clear(), cut, seed)
        self.ghosts = empty.copy()
        self.check(*([empty] if done else [empty, self.model]), notes=({},) if done else ({}, self.notes))

    @rule(cell=st.integers(0, CELLS), cut=cuts, seed=seeds)
    def prune(self, cell: int, cut: int | None, seed: int) -> None:
        after = self.model.copy()
        after[:cell] = UNKNOWN
        before = self.model
        self.attempt(lambda: self.store.prune(before=START + cell * MINUTE), cut, seed)
        self.check(before, after)  # whole files go: of those before the moment any number
        self.ghosts = np.where(self.model != before, before, self.ghosts)

    @precondition(lambda self: (self.model != UNKNOWN).any())
    @rule(data=st.data(), cut=cuts, seed=seeds)
    def damage(self, data: st.DataObject, cut: int | None, seed: int) -> None:
        """A file rots, is found out and set aside, also where a killed writer left others inside its range."""
        self.rot(data.draw(st.sampled_from(self.stored_names()), label="name"), seed / 2**33, cut, seed)

    @precondition(lambda self: (self.model != UNKNOWN).any())
    @rule(low=st.integers(0, 60), high=st.integers(180, CELLS), seed=seeds)
    def replace_cut_short_and_damage(self, low: int, high: int, seed: int) -> None:
        """The power fails between a replacement and the removal of what it replaced; then its file rots."""
        self.version += 1
        table = candles(dict.fromkeys(range(low, high), self.version))
        span = Span(START + low * MINUTE, START + high * MINUTE)
        after = self.model.copy()
        after[low:high] = self.version
        self.disk.off_at_removal = True
        done = self.attempt(lambda: self.store.write(SERIES, table, span, replace=True), 10_000, seed)
        self.disk.off_at_removal = False
        if done:
            self.ghosts[:] = UNKNOWN
        self.check(*([after] if done else [self.model, after]))
        largest = max(self.stored_names(), key=lambda name: span.end - span.start if (span := parse_name(name)) else 0)
        self.rot(largest, 0.5, None, seed)

    def stored_names(self) -> list[str]:
        folder = self.disk.tree.names["candles"].names["v1"].names["market=KRW-BTC"].names["interval=1m"]
        return sorted(name for name, node in folder.names.items() if parse_name(name) and node.data)

    def rot(self, name: str, keep: float, cut: int | None, seed: int) -> None:
        folder = self.disk.tree.names["candles"].names["v1"].names["market=KRW-BTC"].names["interval=1m"]
        node = folder.names[name]
        rotten = node.data[: int(keep * len(node.data))]
        node.data = node.data_on_disk = rotten
        (self.store._folder(SERIES).path / name).write_bytes(rotten)
        after = self.model.copy()
        span = parse_name(name)
        assert span is not None
        low, high = ((edge - START) // MINUTE for edge in span)
        after[low:high] = UNKNOWN
        self.attempt(self.store.verify, cut, seed)
        self.ghosts[low:high] = UNKNOWN
        self.check(after, self.model)  # what was merged may still lie there in parts

    @rule(seed=seeds)
    def look(self, seed: int) -> None:
        """After the power is back, nothing is damaged that was not damaged before."""
        with self.patches[0], self.patches[1], self.patches[2], warnings.catch_warnings():
            warnings.simplefilter("error", UpbitFramesWarning)
            found = {one.problem for one in self.store.verify(SERIES, repair=bool(seed % 2))}
        assert found <= {"leftover", "overlap", "corrupt", "repaired"}  # the last two: set aside before
        self.check(self.model)


MERGED = 8  # pages of about the same size that a writer merges


def write_pages(pages: int) -> PowerLoss:
    """Pages that touch, all names on the disk."""
    machine = PowerLoss()
    for page in range(pages):
        machine.attempt(lambda page=page: write_page(machine, page), None, 0)
    machine.disk.sync_all()
    machine.model[: 10 * pages] = 1
    return machine


def write_page(machine: PowerLoss, page: int) -> None:
    cells = range(10 * page, 10 * page + 10)
    span = Span(START + cells.start * MINUTE, START + cells.stop * MINUTE)
    machine.store.write(SERIES, candles(dict.fromkeys(cells, 1)), span)


def test_a_merge_cut_short_while_it_removes_the_merged_files_loses_nothing() -> None:
    machine = write_pages(MERGED - 1)
    assert len(machine.stored_names()) == MERGED - 1
    machine.attempt(lambda: write_page(machine, MERGED - 1), None, 0)
    steps = machine.disk.steps
    assert len(machine.stored_names()) == 1
    machine.teardown()
    for cut in range(steps - MERGED, steps + 1, 2):
        for seed in range(6):
            machine = write_pages(MERGED - 1)
            after = machine.model.copy()
            after[10 * (MERGED - 1) : 10 * MERGED] = 1
            machine.attempt(lambda machine=machine: write_page(machine, MERGED - 1), cut, seed)
            machine.check(machine.model, after)
            machine.teardown()


class TestPowerLoss(PowerLoss.TestCase):
    """Prints the figures with ``pytest -s``; ``UPBIT_FRAMES_TEST_POWER_LOSS`` is the number of sequences."""

    @classmethod
    def tearDownClass(cls) -> None:
        print(f"{PowerLoss.power_offs:,} power failures, {PowerLoss.writes:,} acknowledged writes")


TestPowerLoss.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
