"""Predicted against realised influence: networks trained from scratch on 30 groups of synthetic samples.

Held-out unguided samples are sorted by their predicted influence within each class and cut into 30 groups of the same class
balance. A network is trained from scratch on each group alone (three seeds), and the fall of its loss on the guidance rows, from
that of knowing only the share of deaths, is compared with the group's mean prediction.

    python experiments/guidance/groups.py --data runs/p12/data --work runs/guidance --out experiments/guidance/groups
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from cells import Bench
from matplotlib.figure import Figure
from numpy.typing import NDArray
from regimes import build

from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset
from tardiff.evaluate.judges import Rows, fit_predict
from tardiff.evaluate.plots import save_png
from tardiff.guidance.build import influence_objective
from tardiff.guidance.gradient_guide import log_probability
from tardiff.settings import GuidanceSettings
from tardiff.synthesis.diagnosis import rank_correlation
from tardiff.synthesis.selection import influence_scores

GROUPS = 30
ROWS = (75, 25)  # of each class in a group
STOP_ON = (150, 50)
FITS = 3
MODELS = ("gru", "logistic")
FIRST_ROW = 2**20  # row numbers that no other sample of the experiment has


def main() -> None:
    """Compare, write numbers and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder of PhysioNet 2012, split by set")
    parser.add_argument("--work", type=Path, required=True, help="folder for generators and classifiers")
    parser.add_argument("--out", type=Path, required=True, help="name of the JSON and PNG file to write")
    parser.add_argument("--regime", default="scarce")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(build(Dataset.load(options.data), options.regime, options.seed, "validation"), options.regime, options.seed, options.work)
    pool, stop_on = samples(bench, [GROUPS * rows for rows in ROWS], FIRST_ROW), samples(bench, STOP_ON, 2 * FIRST_ROW)
    folder = bench.classifiers("committee")[0]
    seen, label = torch.tensor(pool.seen), torch.tensor(pool.label)
    forms = {form: influence_objective(folder, GuidanceSettings(form=form), lambda x: x) for form in ("raw", "cosine")}
    forms["log-probability of the label"] = log_probability(folder.classifier)
    guidance = bench.rows(bench.regime.labelled.train)
    result = {}
    for form, objective in forms.items():
        predicted = influence_scores(objective, seen, label)
        groups = sorted_groups(predicted, pool.label)
        mean = np.array([predicted[rows].mean() for rows in groups])
        result[form] = {"predicted": mean.tolist()}
        for model in MODELS:
            realised = np.array(
                [np.mean([fall(model, pool.take(rows), stop_on, guidance, seed) for seed in range(FITS)]) for rows in groups]
            )
            value, low, high = rank_correlation(mean, realised, seed=0)
            result[form][model] = {"realised": realised.tolist(), "spearman": [value, low, high]}
            print(f"{form:<30} {model:<10} Spearman {value:+.2f} [{low:+.2f}, {high:+.2f}]", flush=True)
    write_json(options.out.with_suffix(".json"), result)
    save_png(picture(result), options.out.with_suffix(".png"))


def samples(bench: Bench, rows: list[int] | tuple[int, ...], first: int) -> Rows:
    """Unguided samples, so many of each class."""
    label = np.repeat(np.arange(len(rows)), rows)
    pipeline = bench.generator
    return bench.rows(pipeline.dataset(pipeline(label, row_seeds(bench.seed, range(first, first + len(label)))), {}).train)


def sorted_groups(score: NDArray[np.float64], label: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Row numbers of each group, by ascending score, with `ROWS` of each class."""
    ranked = [np.flatnonzero(label == c)[np.argsort(score[label == c], kind="stable")] for c in range(len(ROWS))]
    return [np.concatenate([rows[k * n : (k + 1) * n] for rows, n in zip(ranked, ROWS, strict=True)]) for k in range(GROUPS)]


def fall(model: str, group: Rows, stop_on: Rows, guidance: Rows, seed: int) -> float:
    """How far below the loss of the class shares alone a network trained on the group brings the guidance loss."""
    probability = fit_predict(model, group, stop_on, guidance, seed)
    share = np.bincount(guidance.label) / len(guidance)
    loss = -np.log(np.maximum(probability[np.arange(len(guidance)), guidance.label], 1e-6)).mean()
    return float(-(share * np.log(share)).sum() - loss)


def picture(result: dict[str, dict]) -> Figure:
    """One scatter a form and network."""
    figure = Figure(figsize=(3.2 * len(result), 3 * len(MODELS)), layout="constrained")
    axes = figure.subplots(len(MODELS), len(result), squeeze=False, sharey="row")
    for column, (form, cell) in enumerate(result.items()):
        for row, model in enumerate(MODELS):
            axis = axes[row, column]
            axis.scatter(cell["predicted"], cell[model]["realised"], s=18, color="#0072B2", alpha=0.8)
            axis.set_title(f"{form}: {cell[model]['spearman'][0]:+.2f}", fontsize=10)
            axis.spines[["top", "right"]].set_visible(False)
        axes[-1, column].set_xlabel("predicted influence, mean of the group")
    for row, model in enumerate(MODELS):
        axes[row, 0].set_ylabel(f"{model}: fall of the guidance loss")
    return figure


if __name__ == "__main__":
    main()
