"""Every cell of the comparison, one line of JSON each; what stands in the file is not run again.

python experiments/guidance/run.py --data runs/p12/data --work runs/guidance --judged-on validation --quick --seeds 0 1 2 3 4 5 6 7
python experiments/guidance/run.py --data runs/p12/data --work runs/guidance --judged-on test --seeds 0 1 2 3 4
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from baselines import BASELINES
from cells import MODELS, QUICK, Bench, Recipe, run_cell
from regimes import REGIMES, build

from tardiff.data.dataset import Dataset
from tardiff.settings import GuidanceSettings

HERE = Path(__file__).parent


def influence(form: str, strength: float = 0.3, **options: object) -> Recipe:
    """Influence guidance."""
    return Recipe(GuidanceSettings(guidance="influence", form=form, strength=strength, label_scale=1.0, pilot=512, **options))  # type: ignore[arg-type]


CLASSIFIER = GuidanceSettings(guidance="classifier", strength=0.3, label_scale=1.0)
MATCHED = replace(CLASSIFIER, strength="matched", pilot=512)


def classifier_free(scale: float, window: float = 0.4) -> GuidanceSettings:
    """Classifier-free guidance alone."""
    return GuidanceSettings(guidance="classifier-free", label_scale=scale, window=window)


RECIPES: dict[str, Recipe] = {
    "unguided": Recipe(),
    "classifier 0.3, committee": Recipe(CLASSIFIER),
    "classifier matched, committee": Recipe(MATCHED),
    "cosine 0.3, committee": influence("cosine"),
    "classifier-free 2, early, classifier matched": Recipe(replace(MATCHED, label_scale=2.0)),
    "classifier-free 2": Recipe(classifier_free(2.0, 1.0)),
    "classifier-free 3": Recipe(classifier_free(3.0, 1.0)),
    "classifier-free 2, early": Recipe(classifier_free(2.0)),
    "classifier-free 3, early": Recipe(classifier_free(3.0)),
    "published": Recipe(GuidanceSettings(guidance="published"), guide="one"),
    "selection by influence": Recipe(select="influence"),
    "classifier 0.3, one": Recipe(CLASSIFIER, guide="one"),
    "classifier 0.3": Recipe(CLASSIFIER, guide="four"),
    "classifier 0.6": Recipe(replace(CLASSIFIER, strength=0.6), guide="four"),
    "classifier 1.0": Recipe(replace(CLASSIFIER, strength=1.0), guide="four"),
    "cosine 0.3": replace(influence("cosine"), guide="four"),
    "raw 0.3": influence("raw"),
    "fixed 0.3": replace(influence("fixed"), guide="four"),
    "gap 0.3": replace(influence("gap"), guide="four"),
    "gap 0.3, three rounds": influence("gap", rounds=3),
    "selection by Shapley value": Recipe(select="shapley"),
}
PSEUDO = {
    "pseudo-labels": Recipe(pseudo=True),
    "classifier 0.3, committee, pseudo-labels": Recipe(CLASSIFIER, pseudo=True),
    "classifier matched, committee, pseudo-labels": Recipe(MATCHED, pseudo=True),
    "cosine 0.3, committee, pseudo-labels": replace(influence("cosine"), pseudo=True),
    "pseudo-labels, four": Recipe(pseudo=True, guide="four"),
    "classifier 0.3, pseudo-labels": Recipe(CLASSIFIER, guide="four", pseudo=True),
    "classifier 1.0, pseudo-labels": Recipe(replace(CLASSIFIER, strength=1.0), guide="four", pseudo=True),
    "cosine 0.3, pseudo-labels": replace(influence("cosine"), guide="four", pseudo=True),
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
    return {**{name: name for name in BASELINES}, **made}


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
    results = HERE / ("screening.jsonl" if options.quick else "results.jsonl")
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * options.minutes
    data = Dataset.load(options.data)
    options.work.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for regime in options.regimes:
            bench = Bench(build(data, regime, seed, options.judged_on), regime, seed, options.work)
            for name, recipe in rows_of(regime).items():
                key = {"data": options.name, "judged_on": options.judged_on, "regime": regime, "seed": seed, "row": name}
                if (options.rows and name not in options.rows) or time.monotonic() > end or _there(results, key):
                    continue
                result = run_cell(bench, recipe, QUICK if options.quick else MODELS)
                with results.open("a") as file:
                    file.write(json.dumps(key | result) + "\n")
                shown = result.get("tstr", result["tsrtr"])
                print(regime, seed, name, {model: shown[model]["auprc"] for model in shown}, f"{result['seconds']:.0f} s", flush=True)


def _there(results: Path, key: dict[str, object]) -> bool:
    if not results.exists():
        return False
    return any(key.items() <= json.loads(line).items() for line in results.read_text().splitlines())


if __name__ == "__main__":
    main()
