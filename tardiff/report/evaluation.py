"""An evaluation folder as the report reads it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from tardiff.errors import TardiffError

COLOURS = 6  # of sets, in style.css; a seventh set begins again
Estimate = Mapping[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """The numbers of an evaluation (`metrics.json`) and the summaries that it draws (`figures.json`; None if there are none)."""

    result: Mapping[str, Any]
    curves: Mapping[str, Any] | None

    @classmethod
    def load(cls, path: str | Path) -> "Evaluation":
        """Read the folder that `tardiff evaluate` wrote.

        Raises:
            TardiffError: it holds no `metrics.json`, or a file is not what `tardiff evaluate` writes.
        """
        path = Path(path)
        if not (path / "metrics.json").is_file():
            raise TardiffError(f"{path}: not an evaluation folder (no metrics.json); make one with `tardiff evaluate`")
        curves = path / "figures.json"
        return cls(
            _read(path / "metrics.json", ("real", "synthetic", "test", "settings")), _read(curves, ("real",)) if curves.is_file() else None
        )

    @property
    def sets(self) -> list[str]:
        """Names of the synthetic sets, in order; the others are compared with the first."""
        return list(self.result["synthetic"])

    def part(self, name: str) -> Mapping[str, Any]:
        """A part of the result, empty if this evaluation has none."""
        return self.result.get(name) or {}

    def colour(self, name: str | None) -> str:
        """The style of a set, the same in every figure; None is real data."""
        return "real" if name is None else f"s{self.sets.index(name) % COLOURS}" if name in self.sets else "other"

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Style and name of real data and of each set."""
        return [("real", "real"), *((self.colour(name), name) for name in self.sets)]


@contextmanager
def as_written(where: str | Path) -> Iterator[None]:
    """Say that an evaluation was changed, if its numbers turn out not to be what `tardiff evaluate` writes.

    Raises:
        TardiffError: one is missing, or of another kind.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, UndefinedError) as error:
        raise TardiffError(
            f"{where}: metrics.json or figures.json is not as `tardiff evaluate` writes it ({error!r}); evaluate again"
        ) from error


def shown(estimate: Estimate | None, signed: bool = False) -> str:
    """`0.321 [0.290, 0.355]`, with real minus signs; a dash where undefined."""
    if estimate is None or estimate["value"] is None:
        return "–"
    value, low, high = (_plain(estimate.get(end), "+.3f" if signed else ".3f") for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]" if low and high else value


def _plain(number: float | None, shape: str) -> str:
    """A number without a minus before zero."""
    return "" if number is None else f"{round(number, 3) + 0.0:{shape}}".replace("-", "−").replace("+0.000", "0.000")


def _read(path: Path, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise TardiffError(f"{path}: not JSON ({error}); evaluate again") from error
    missing = [field for field in fields if not isinstance(content, dict) or field not in content]
    if missing:
        raise TardiffError(f"{path}: has no field {missing[0]!r}; evaluate again")
    return content
