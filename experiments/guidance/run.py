"""Every cell of the comparison, one line of JSON each; what stands in the file is not run again.

python -m experiments.guidance.run --data runs/p12/data --work runs/guidance --judged-on validation --quick --seeds 0 1 2 3 4 5 6 7
python -m experiments.guidance.run --data runs/p12/data --work runs/guidance --judged-on test --seeds 0 1 2 3 4
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from experiments.guidance.cells import JUDGES, QUICK, Lab, Recipe, run_cell
from experiments.guidance.regimes import REGIMES, build
from tardiff.base.ledger import Ledger
from tardiff.data.dataset import Dataset
from tardiff.settings import GuidanceSettings

HERE = Path(__file__).parent

CLASSIFIER = GuidanceSettings(strength=0.3, cfg_scale=1.0)
MATCHED = replace(CLASSIFIER, strength="matched", pilot=512)
COSINE = replace(CLASSIFIER, objective="cosine=1")


def classifier_free(scale: float, window: float = 0.4) -> GuidanceSettings:
    """Classifier-free guidance alone."""
    return GuidanceSettings(guidance="classifier-free", cfg_scale=scale, window=window)


REAL = {
    "real only": "none",
    "class weights": "class_weight",
    "oversampling": "oversample",
    "SMOTE": "smote",
    "jitter": "jitter",
    "time warp": "warp",
}
RECIPES: dict[str, Recipe] = {
    "unguided": Recipe(),
    "classifier 0.3, committee": Recipe(CLASSIFIER),
    "classifier matched, committee": Recipe(MATCHED),
    "cosine 0.3, committee": Recipe(COSINE),
    "classifier-free 2, early, classifier matched": Recipe(replace(MATCHED, cfg_scale=2.0)),
    "classifier-free 2": Recipe(classifier_free(2.0, 1.0)),
    "classifier-free 3": Recipe(classifier_free(3.0, 1.0)),
    "classifier-free 2, early": Recipe(classifier_free(2.0)),
    "classifier-free 3, early": Recipe(classifier_free(3.0)),
    "published": Recipe("published", guide="one"),
    "selection by influence": Recipe(select="influence"),
    "classifier 0.3, one": Recipe(CLASSIFIER, guide="one"),
    "classifier 0.3": Recipe(CLASSIFIER, guide="four"),
    "classifier 0.6": Recipe(replace(CLASSIFIER, strength=0.6), guide="four"),
    "classifier 1.0": Recipe(replace(CLASSIFIER, strength=1.0), guide="four"),
    "cosine 0.3": Recipe(COSINE, guide="four"),
    "raw 0.3": Recipe(replace(COSINE, objective="raw=1")),
}
PSEUDO = {
    "pseudo-labels": Recipe(pseudo=True),
    "classifier 0.3, committee, pseudo-labels": Recipe(CLASSIFIER, pseudo=True),
    "classifier matched, committee, pseudo-labels": Recipe(MATCHED, pseudo=True),
    "cosine 0.3, committee, pseudo-labels": Recipe(COSINE, pseudo=True),
    "pseudo-labels, four": Recipe(pseudo=True, guide="four"),
    "classifier 0.3, pseudo-labels": Recipe(CLASSIFIER, guide="four", pseudo=True),
    "classifier 1.0, pseudo-labels": Recipe(replace(CLASSIFIER, strength=1.0), guide="four", pseudo=True),
    "cosine 0.3, pseudo-labels": Recipe(COSINE, guide="four", pseudo=True),
}
SIZE = {"all": 1.0, "scarce": 5.0, "imbalanced": 1.0, "few-labels": 5.0}


def rows_of(regime: str) -> dict[str, Recipe | str]:
    """The rows of a regime's table. Without labels a generator has no class to sample: pseudo-labels stand for unguided."""
    made = {name: replace(recipe, size=SIZE[regime]) for name, recipe in {**RECIPES, **PSEUDO}.items()}
    if regime == "few-labels":
        made = {name: recipe for name, recipe in made.items() if not name.startswith(("unguided", "classifier-free", "published"))}
    else:
        made = {name: recipe for name, recipe in made.items() if name not in PSEUDO}
        other = 1.0 if SIZE[regime] > 1 else 5.0
        made[f"unguided, {other:g} x"] = Recipe(size=other)
    return {**REAL, **made}


def main() -> None:
    """Run what is asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder of PhysioNet 2012, split by set")
    parser.add_argument("--name", default="vitals 24 h", help="of the data set, in the table (give every one its own --work)")
    parser.add_argument("--work", type=Path, required=True, help="folder for generators and classifiers")
    parser.add_argument("--judged-on", choices=("validation", "test"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=REGIMES)
    parser.add_argument("--rows", nargs="+", help="names of rows (default: all)")
    parser.add_argument("--quick", action="store_true", help="trees and logistic regression judge, into screening.jsonl")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no cell after so many")
    options = parser.parse_args()
    ledger = Ledger(HERE / ("screening.jsonl" if options.quick else "results.jsonl"))
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * options.minutes
    data = Dataset.load(options.data)
    options.work.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for regime in options.regimes:
            lab = Lab(build(data, regime, seed, options.judged_on), regime, seed, options.work)
            for name, recipe in rows_of(regime).items():
                key = {"data": options.name, "judged_on": options.judged_on, "regime": regime, "seed": seed, "row": name}
                if (options.rows and name not in options.rows) or time.monotonic() > end or ledger.find(**key):
                    continue
                cell = ledger.add(key | run_cell(lab, recipe, QUICK if options.quick else JUDGES))
                auprc = {judge: figures["auprc"] for judge, figures in cell.get("tstr", cell["tsrtr"]).items()}
                print(regime, seed, name, auprc, f"{cell['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
