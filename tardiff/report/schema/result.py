"""What the report reads of `metrics.json`."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from tardiff.report.schema.fidelity import Fidelity
from tardiff.report.schema.privacy import Privacy
from tardiff.report.schema.provenance import Described, Test
from tardiff.report.schema.realism import Realism
from tardiff.report.schema.utility import Forecast, Group, Utility
from tardiff.settings import EvaluateSettings


class Result(Struct, frozen=True):
    """metrics.json."""

    real: Described
    synthetic: Annotated[dict[str, Described], Meta(min_length=1)]
    test: Test
    settings: EvaluateSettings
    versions: dict[str, str]
    utility: Utility
    forecast: Forecast
    subgroups: list[Group]
    fidelity: Fidelity
    realism: Realism
    privacy: Privacy

    def __post_init__(self) -> None:
        if "train" not in self.real.splits:
            raise ValueError("missing `train` in `real.splits`")
        for part in ("forecast", "fidelity", "realism", "privacy"):
            if getattr(self, part).sets.keys() != self.synthetic.keys():
                raise ValueError(f"`{part}.sets`: other sets than `synthetic` has")
        by_set: dict[str, dict[str, Any]] = {"fidelity.against_floor": self.fidelity.against_floor, "realism.reasons": self.realism.reasons}
        by_set |= {f"realism.clinical.{rule.name}": group.sets for rule in self.realism.clinical.rules for group in rule.groups}
        for name, sets in by_set.items():
            if sets.keys() != self.synthetic.keys():
                raise ValueError(f"`{name}`: other sets than `synthetic` has")
        judged = [*self.utility.cells, *self.utility.differences, *(cell for group in self.subgroups for cell in group.judged)]
        compared = [difference.against for difference in self.utility.differences]
        if strange := {cell.synthetic for cell in (*judged, *compared)} - {None, *self.synthetic}:
            raise ValueError(f"`synthetic` has no set {min(map(str, strange))!r}, which a model learnt from")
