"""Print pip constraints that pin everything a user can install to its lowest declared version.

From pyproject.toml alone, so that pip needs no option for it::

    python .ci/lowest.py > lowest.txt && pip install -c lowest.txt -e ".[test]"
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

EXTRAS = ("all", "testing")


def requirements(project: dict, extra: str | None = None) -> Iterator[str]:
    """Yield the runtime dependencies, or those of an extra with what it includes of others."""
    for one in project["dependencies"] if extra is None else project["optional-dependencies"][extra]:
        inner = re.fullmatch(r"upbit-frames\[([\w,-]+)\]", one)
        if inner is None:
            yield one
        else:
            for part in inner[1].split(","):
                yield from requirements(project, part)


def main() -> None:
    """Print one constraint a line."""
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    lowest = {}
    for extra in (None, *EXTRAS):
        for one in requirements(project, extra):
            name, version = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)", one).groups()
            lowest[name.lower()] = version
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in sorted(lowest.items()))


if __name__ == "__main__":
    main()
