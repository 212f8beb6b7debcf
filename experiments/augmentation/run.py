"""Every cell of the comparison, one line of JSON each; what stands in the file is not run again.

python -m experiments.augmentation.run --data runs/p12/data --work runs/augmentation --judged-on validation --seeds 2
python -m experiments.augmentation.run --data runs/p12/data --work runs/augmentation --judged-on test --seeds 5
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tardiff.base.ledger import Ledger
from tardiff.base.noise import stream
from tardiff.compare.run import opened, seeds_of
from tardiff.data.dataset import Dataset
from tardiff.settings import METHODS, CompareSettings

HERE = Path(__file__).parent
IMBALANCES: dict[str, float | None] = {"natural": None, "5 %": 0.05, "2 %": 0.02}
MODELS = ("gru", "trees")
WAYS = tuple(method for method in METHODS if method != "refined")
SETTINGS = CompareSettings(methods=",".join(WAYS), ratios=(0.25, 1.0), bootstrap=200, workers=1)


def with_fewer_deaths(data: Dataset, share: float | None, seed: int) -> Dataset:
    """The data set with that share of deaths in its training rows: deaths are left out at random, nothing else changes."""
    if share is None:
        return data
    label = data.train.label
    survivors = int((label == 0).sum())
    deaths = stream("deaths kept", seed).permutation(np.flatnonzero(label == 1))
    kept = np.sort(np.append(np.flatnonzero(label == 0), deaths[: round(survivors * share / (1 - share))]))
    return Dataset(data.manifest, {**data.splits, "train": data.train.take(kept)}).completed()


def lean(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell as it is recorded: of the resamples only those of AUPRC."""
    figures = cell["groups"]["all"]
    return {k: v for k, v in cell.items() if k != "groups"} | {"values": figures["values"], "draws": figures["draws"]["auprc"]}


def main() -> None:
    """Run what is asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder of PhysioNet 2012, split by set")
    parser.add_argument("--work", type=Path, required=True, help="folder for generators")
    parser.add_argument("--judged-on", choices=("validation", "test"), required=True)
    parser.add_argument("--seeds", type=int, default=5, help="so many seeds; the first ones are always the same")
    parser.add_argument("--imbalances", nargs="+", choices=IMBALANCES, default=list(IMBALANCES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--methods", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no cell after so many")
    parser.add_argument("--budget-minutes", type=float, default=2.0, help="what training a generator may take")
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    data, ledger = Dataset.load(options.data), Ledger(options.results)
    settings = replace(SETTINGS, on=options.judged_on, seeds=options.seeds, budget_minutes=options.budget_minutes)
    for number, seed in enumerate(seeds_of(settings)):
        for imbalance in options.imbalances:
            work = options.work / f"{imbalance.replace(' %', '')}-{options.judged_on}-{options.budget_minutes:g}"
            work.mkdir(parents=True, exist_ok=True)
            comparison = opened(with_fewer_deaths(data, IMBALANCES[imbalance], seed), settings, work)
            for method in options.methods:
                for model in options.models:
                    key = {"judged_on": options.judged_on, "imbalance": imbalance, "model": model, "method": method, "seed": number}
                    if time.monotonic() > end or ledger.find(**key):
                        continue
                    comparison.settings = replace(settings, model=model)
                    deaths = {"train_deaths": int(comparison.data.train.label.sum())}
                    cell = ledger.add(key | deaths | lean(comparison.cell(method, seed)))
                    print(imbalance, model, method, number, f"AUPRC {cell['values']['auprc']:.3f}, {cell['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
