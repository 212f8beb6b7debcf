"""What is compared, in which environment, by which settings and in which order; written before the run."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 600.0
"""To train, of two cores."""
TRIAL_SECONDS = 180.0
"""To train each of two settings, between which validation rows choose; with the first seed only."""
HOURS_TO_DRAW = 3.0
"""Real time after which a peer that still draws is given up."""
SEEDS = {"physionet2012": (0, 1, 2), "challenge2019": (0,)}
"""Seeds by data set; the first one of each chooses the setting."""
ATTACKED = "physionet2012", 0
"""Data set and seed on which peers are attacked; the attack needs each of them fitted once more."""
RULES = {"physionet2012": "p12", "challenge2019": "hospital-a"}
"""Data sets of the harness, by whose rule of splitting the stays are split here."""
MOST_TEST_ROWS = 6000
"""More are thinned out, for everybody alike."""
FILLING = ("filled", "Complete")
"""Of `shapes.py`, what a tool for complete data makes its user write; a long table is what users have."""


@dataclass(frozen=True)
class Peer:
    """A row of the table.

    Attributes:
        environment: folder of its Python; empty for tardiff's own.
        adapter: module in `adapters`; of a baseline, empty.
        function: of that module; of a baseline, a key of `compare.baselines.BASELINES`.
        other: the setting that is tried beside the peer's defaults.
        fixed: arguments of the adapter that are no settings.
        complete: it takes complete data only, so it got values carried forward and the mask as further channels.
        by_class: it takes no label, so it is fitted once a class.
        augments: it changes real rows and makes no records: it has a figure together with real rows only.
    """

    environment: str
    adapter: str
    function: str = "fit"
    other: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    by_class: bool = False
    augments: bool = False

    def setting(self, name: str) -> dict[str, Any]:
        """Arguments of the adapter for one of `settings`."""
        return dict(self.fixed) | (dict(self.other) if name == "other" else {})

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of what validation rows choose from."""
        return ("defaults", "other") if self.other else ("defaults",)

    @property
    def lines(self) -> int | None:
        """Lines of Python that a user writes: the adapter's function without the clock's and, for complete data, filling and masks."""
        if self.augments:
            return None
        shapes = _functions(HERE / "shapes.py")
        own = len(_functions(HERE / "adapters" / f"{self.adapter}.py")[self.function])
        return own + (sum(len(shapes[name]) for name in FILLING) if self.complete else 0)


def _functions(path: Path) -> dict[str, list[str]]:
    """Lines of code of each function and class of a file, without blank lines, comments, docstrings and what is marked as the clock's."""
    source = path.read_text()
    lines, found = source.splitlines(), {}
    for top in ast.parse(source).body:
        if isinstance(top, ast.FunctionDef | ast.ClassDef):
            told = {
                number
                for node in ast.walk(top)
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
                for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
            }
            numbers = [n for n in range(top.lineno, (top.end_lineno or top.lineno) + 1) if n not in told]
            code = [lines[n - 1].strip() for n in numbers]
            found[top.name] = [line for line in code if line and not line.startswith("#") and not line.endswith("# clock")]
    return found


SMALL = {"widths": (32, 64), "blocks": 1, "batch_size": 64, "ema_decay": 0.998}
PEERS: dict[str, Peer] = {
    "tardiff, unguided": Peer("", "tardiff", "unguided", SMALL),
    "tardiff, guided": Peer("", "tardiff", "guided", SMALL),
    "tardiff, refined": Peer("", "tardiff", "refined", SMALL),
    "tardiff, record policy": Peer("", "tardiff", "policy", {"hidden": 256}),
    "TarDiff's published rule": Peer("", "tardiff", "published", SMALL),
    "mostlyai-engine, TabularARGN": Peer("mostlyai", "mostlyai", other={"enable_flexible_generation": False}),
    "SDV, PARSynthesizer": Peer("sdv", "sdv", other={"stays": 400}),
    "tsgm, cBetaVAE": Peer("tsgm", "tsgm", other={"beta": 0.1, "latent_dim": 2}, complete=True),
    "GenTS, TimeVAE": Peer("gents", "gents", other={"w_kl": 5e-4}, fixed={"model": "TimeVAE"}, complete=True, by_class=True),
    "GenTS, RCGAN": Peer("gents", "gents", other={"lr": 2e-4}, fixed={"model": "RCGAN"}, complete=True),
    "GenTS, Diffusion-TS": Peer(
        "gents",
        "gents",
        other={"d_model": 64, "n_layer_enc": 2, "n_layer_dec": 3},
        fixed={"model": "DiffusionTS", "n_sample_steps": 100},
        complete=True,
        by_class=True,
    ),
    "GenTS, VanillaDDPM": Peer("gents", "gents", other={"patch_size": 2}, fixed={"model": "VanillaDDPM"}, complete=True),
    "SMOTE": Peer("", "", "smote", augments=True),
    "jitter": Peer("", "", "jitter", augments=True),
}
