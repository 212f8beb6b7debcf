"""An evaluation folder as the report reads it."""

from dataclasses import dataclass
from pathlib import Path

from tardiff.base.files import read_struct
from tardiff.base.folders import EVALUATION
from tardiff.errors import TardiffError
from tardiff.report.schema.curves import Curves
from tardiff.report.schema.result import Result

COLOURS = 6  # of sets, in style.css; a seventh set begins again


@dataclass(frozen=True)
class ReportInput:
    """The numbers of an evaluation (`metrics.json`) and the summaries that the report draws (`figures.json`)."""

    result: Result
    curves: Curves

    @classmethod
    def load(cls, path: str | Path) -> "ReportInput":
        """Read the folder that `tardiff evaluate` wrote, and check all that the report shows."""
        path = Path(path)
        EVALUATION.check(path)
        read = cls(read_struct(path / "metrics.json", Result), read_struct(path / "figures.json", Curves))
        if read.curves.synthetic.keys() != read.result.synthetic.keys():
            raise TardiffError(f"{path / 'figures.json'}: synthetic: other sets than in metrics.json")
        return read

    @property
    def sets(self) -> list[str]:
        """Names of the synthetic sets, in order; the others are compared with the first."""
        return list(self.result.synthetic)

    def colour(self, name: str | None) -> str:
        """The style of a set, the same in every figure; None is real data."""
        return "real" if name is None else f"s{self.sets.index(name) % COLOURS}"

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Style and name of real data and of each set."""
        return [("real", "real"), *((self.colour(name), name) for name in self.sets)]
