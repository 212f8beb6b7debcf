"""The lowest versions that pyproject.toml claims, as constraints for pip: `python -m tests.minimum > lowest.txt` (`make test-min`)."""

import re
import tomllib
from pathlib import Path

EXTRAS = ("augment", "meds", "test")


def lowest(project: dict[str, object]) -> list[str]:
    """`name==version` for each lower bound of the dependencies and of `EXTRAS`, sorted."""
    extras: dict[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    every = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]  # type: ignore[misc]
    bounds = {match[1]: match[2] for line in every if (match := re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", line))}
    return sorted(f"{name}=={version}" for name, version in bounds.items())


if __name__ == "__main__":
    print("\n".join(lowest(tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"])))
