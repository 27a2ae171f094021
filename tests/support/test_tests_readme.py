"""tests/README.md names files, suites and properties that exist, and leaves no property out."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
TEXT = (TESTS / "README.md").read_text(encoding="utf-8")


def test_every_file_that_is_named_exists() -> None:
    for line in TEXT.splitlines():
        folder = Path()
        for name in re.findall(r"`([\w/.]+\.py)`", line):
            if name.startswith("upbit_frames/"):
                continue
            folder = Path(name).parent if "/" in name else folder
            path = TESTS / (name if "/" in name or (TESTS / name).exists() else folder / name)
            assert path.is_file(), f"{name} in: {line}"


def test_every_conformance_suite_is_listed_and_inherited() -> None:
    suites = {
        name
        for path in (TESTS / "support" / "conformance").glob("*.py")
        for name in re.findall(r"^class (\w+Conformance)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(suites) >= 5
    inherited = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^class Test\w+\((\w+Conformance)\)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert inherited == suites
    assert suites <= set(re.findall(r"`(\w+Conformance)`", TEXT))


def test_every_state_machine_is_in_the_map() -> None:
    machines = [
        path
        for path in TESTS.rglob("test_*.py")
        if re.search(r"^class \w+\(RuleBasedStateMachine\)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(machines) >= 4
    assert [path for path in machines if path.relative_to(TESTS).as_posix() not in TEXT] == []
