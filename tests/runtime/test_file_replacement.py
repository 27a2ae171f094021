"""A file is replaced at once, or stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from upbit_frames.runtime.file_replacement import replacing


def test_the_new_content_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with replacing(target, mode=0o644) as temporary:
        assert temporary.parent == target.parent
        assert not target.exists()
        temporary.write_bytes(b"first")
    with replacing(target, prefix=".tmp-") as temporary:
        assert temporary.name.startswith(".tmp-")
        temporary.write_bytes(b"second")
        assert target.read_bytes() == b"first"
    assert target.read_bytes() == b"second"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_after_a_failure_the_old_content_stays(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")

    def write() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(failure):
        write()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
