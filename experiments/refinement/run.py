"""Every cell of the comparison, one line of JSON each; what stands in the file is not run again.

python -m experiments.refinement.run --data runs/p12/data --work runs/refinement --judged-on validation --seeds 0 1 --regimes half small

The README beside it has all commands.
"""

import argparse
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from experiments.guidance.cells import QUICK, SMALL, STEPS, Lab
from experiments.guidance.regimes import build
from experiments.refinement.columns import discriminator_auc, marginals, membership_auc
from experiments.refinement.gan import train_gan
from experiments.refinement.static import collapse
from tardiff.base.ledger import Ledger
from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.row_sets import Part
from tardiff.model.pipeline import RecordGenerator
from tardiff.model.training import train
from tardiff.refine import PolicySettings, RefineSettings, refine, train_policy
from tardiff.refine.load import load_generator
from tardiff.settings import GuidanceSettings, TrainSettings
from tardiff.synthesis.run import synthesise

HERE = Path(__file__).parent
REGIMES = ("half", "all", "small", "static", "static-small")
BUDGETS = {"static": "all", "static-small": "small"}
"""Of which regime the stays are, where it is not the regime of that name."""
ALONE = ("discriminator", "influence", "value", "fidelity", "spectral", "plausibility", "privacy")
TOGETHER = "discriminator=1,influence=0.5,value=0.2,fidelity=0.2,plausibility=0.1,privacy=0.1,spectral=0.1"
REFINED: dict[str, dict[str, Any]] = {
    **{f"ppo, {name}": {"rewards": f"{name}=1"} for name in ALONE},
    "ppo, together": {"rewards": TOGETHER},
    "awm, together": {"rewards": TOGETHER, "method": "awm"},
}
ROWS = ("base", "base + guidance", "base, trained longer", *REFINED, "ppo, together + guidance", "record policy", "gan")
GUIDANCE = GuidanceSettings()
LONGER = 4000
"""Optimizer steps of training that take at least as long as a refinement."""
POLICY_ITERATIONS = 600
"""Of the record policy: two to four minutes."""
GAN_ITERATIONS = 1000
"""Two to four minutes, with a check every hundred."""
FEWEST_ROWS = 1200
"""Synthetic rows where there are fewer training rows; else as many as those."""


@dataclass
class RefinementLab(Lab):
    """A regime with one seed, and the generators of the table, made once and kept in the folder."""

    iterations: int = RefineSettings().iterations

    def made_by(self, row: str) -> tuple[RecordGenerator, GuidanceSettings]:
        """The generator of a row, and how it is guided."""
        name, _, guided = row.partition(" + ")
        return self._generator(name), GUIDANCE if guided else GuidanceSettings(guidance="none")

    def _generator(self, name: str) -> RecordGenerator:
        data = self.regime.labelled
        if name == "base":
            return self.generator
        if name == "gan":
            return train_gan(data, self.generator.card, GAN_ITERATIONS, self.seed)
        path = self.work / f"{name.replace(', ', '-').replace(' ', '-')}-{self.name}-{self.seed}-{self.iterations}"
        if path.exists():
            return load_generator(path)
        if name == "record policy":
            return train_policy(data, path, PolicySettings(iterations=POLICY_ITERATIONS), self.seed, progress=False)
        if name == "base, trained longer":
            settings = TrainSettings(steps=STEPS[self.name] + LONGER, seed=self.seed, **SMALL)
            return train(data, path, settings, progress=False)
        asked = dict(REFINED[name])
        if self.name.startswith("static"):  # one step, no spectrum
            asked["rewards"] = ",".join(term for term in asked["rewards"].split(",") if not term.startswith("spectral"))
        refining = RefineSettings(iterations=self.iterations, allow_worse=True, seed=self.seed, **asked)
        return refine(self.generator, data, path, refining, classifier=self.classifiers("one")[0], progress=False).pipeline

    @cached_property
    def members(self) -> Split:
        """Rows that every generator has read."""
        return self.regime.labelled.train


def run_cell(lab: RefinementLab, row: str) -> dict[str, Any]:
    """Figures of one row of the table."""
    start = time.perf_counter()
    generator, guidance = lab.made_by(row)
    made = time.perf_counter() - start
    classifiers = lab.classifiers("committee") if guidance.guidance != "none" else []
    size = max(FEWEST_ROWS, lab.regime.rows)
    drawn = synthesise(generator, size, classifier=classifiers, guidance=guidance, seed=lab.seed, progress=False).dataset.train
    strangers, codec = lab.regime.outside, lab.generator.codec
    sets = lab.sets.adding(synthetic=lab.rows(drawn))
    return {
        "tstr": lab.figures(lab.fits(QUICK, (Part("synthetic"),), sets), sets),
        "discriminator_auc": round(discriminator_auc(drawn, strangers, codec, lab.seed), 5),
        **marginals(drawn, strangers, codec),
        "membership_auc": round(membership_auc(drawn, lab.members, strangers, codec), 5),
        "making_seconds": round(made, 1),
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    """Run what is asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder of PhysioNet 2012, split by set")
    parser.add_argument("--work", type=Path, required=True, help="folder for generators and classifiers")
    parser.add_argument("--judged-on", choices=("validation", "test"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--iterations", type=int, default=RefineSettings().iterations)
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no cell after so many")
    options = parser.parse_args()
    if options.judged_on == "validation" and (whole := [name for name in options.regimes if BUDGETS.get(name, name) == "all"]):
        parser.error(f"{whole[0]} trains and checks on all of set a, which leaves no row of it to judge; take half or small")
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * options.minutes
    data, ledger = Dataset.load(options.data), Ledger(options.results)
    options.work.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for name in options.regimes:
            static = name.startswith("static")
            regime = build(collapse(data) if static else data, BUDGETS.get(name, name), seed, options.judged_on)
            lab = RefinementLab(regime, name, seed, options.work, iterations=options.iterations)
            for row in options.rows:
                if static and row == "ppo, spectral":
                    continue
                key = {"judged_on": options.judged_on, "regime": name, "iterations": options.iterations, "seed": seed, "row": row}
                if time.monotonic() > end or ledger.find(**key):
                    continue
                cell = ledger.add(key | run_cell(lab, row))
                auprc = {judge: figures["auprc"] for judge, figures in cell["tstr"].items()}
                print(name, seed, row, auprc, f"AUC {cell['discriminator_auc']:.3f}, {cell['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
