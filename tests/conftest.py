"""Fixtures every area shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure. What CI tries is the same every time; HYPOTHESIS_PROFILE=search looks further.
settings.register_profile("suite", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("search", deadline=None, print_blob=True)
settings.register_profile("few", settings.get_profile("suite"), max_examples=15)  # where everything ran once already
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the developer's own settings or writes into the developer's own store."""
    for name in list(os.environ):
        if name.startswith("UPBIT_FRAMES_") and name != "UPBIT_FRAMES_REAL_DATA":
            monkeypatch.delenv(name)
    monkeypatch.delenv("CI", raising=False)  # it decides whether cassettes and locks are written
    monkeypatch.setenv("UPBIT_FRAMES_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real captures; the test is skipped where it is absent."""
    folder = Path(os.environ.get("UPBIT_FRAMES_REAL_DATA", ROOT.parent / "shared" / "real"))
    if not (folder / "CATALOGUE.md").exists():
        pytest.skip("real captures not found; set UPBIT_FRAMES_REAL_DATA to their folder")
    return folder
