"""What a set of records looks like and gives away, by the package's own functions, in few numbers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Manifest, Split
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.fidelity import FLOOR, Sample, draw_samples, value_distances
from tardiff.evaluate.fidelity.distance import Distances
from tardiff.evaluate.privacy import privacy
from tardiff.evaluate.privacy.black_box import nearest_neighbour
from tardiff.evaluate.privacy.closest import NEAR, SAME, closest
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.trial import Trial
from tardiff.evaluate.realism import discriminate
from tardiff.evaluate.realism.profile import profile
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import EvaluateSettings

COSTS = (
    *("ks", "correlation", "co_observation", "observed_rate_by_step", "resolution", "repeats", "change"),
    *("descriptors", "descriptor_pairs", "descriptor_slopes"),
)
DIGITS = 5


def costs(made: Split, train: Split, judged: Split, codec: Codec, manifest: Manifest, seed: int) -> dict[str, float]:
    """What a guide may cost, without resamples: the spread over seeds tells its error.

    Distances to the training rows as `fidelity.value_distances` has them (mean over names), and `near_copies`, the share of rows that lie
    nearer to a training row than 99 % of the judged rows do.

    Args:
        made: the records, synthetic or (the floor) judged.
        train: the real training rows.
        judged: real rows that no generator has read.
        codec: fitted on the training rows.
        manifest: of all of them.
        seed: of the rows compared.
    """
    samples = draw_samples({"train": train, "made": made}, seed)
    ours, theirs = (Sample(sample.split, sample.weights[:1]) for sample in (samples["made"], samples["train"]))
    found = {name: _whole(distance.overall) for name, distance in value_distances(ours, theirs, manifest).items() if name in COSTS}
    rows, real, strangers = (codec.encode(split).flatten(1) for split in (made, train, judged))
    within = max(float(np.quantile(closest(strangers, real), NEAR)), SAME)
    return found | {"near_copies": _round(float((closest(rows, real) < within).mean()))}


def looked_at(
    made: Dataset,
    real: Dataset,
    judged: Split,
    codec: Codec,
    how: str,
    seed: int,
    kept: Cache,
    base: TarDiffPipeline | None,
    attacked: bool,
) -> dict[str, Any]:
    """How well models tell the records from real ones, how they lie beside the floor, and what attacks find.

    Args:
        made: synthetic records.
        real: training and validation rows.
        judged: real rows that no generator has read: the floor.
        codec: fitted on the training rows.
        how: `light` (no GRU among the discriminators; one attack, by nearest neighbours), `close` or `full`.
        seed: of fits, rows and resamples.
        kept: where fits are kept.
        base: the study's generator. With `full` a reference model of its kind calibrates the attacks on samples, of whatever made them, so
            that rows compare; what it draws is not guided.
        attacked: whether the records are the base's own, so that attacks on its weights are theirs.

    Returns:
        `told_apart`, by discriminator, of the set and the `floor`, and `attacks` (AUC by name). Unless it is `light`, `distances` and
        `floor_distances` by metric (`mean`, and the `worst` name with its number), `profile` (descriptors' pairs and slopes) and
        `height_by_sex`. With `full`, `control` (of attacks), `found_at_1_percent` (true positive rate at 1 % false positives; None where
        there are too few rows to tell), `nearer_train`, `copies` and `near_copies`.
    """
    whole = Dataset(real.manifest, {**real.splits, "test": judged}).completed()
    settings = EvaluateSettings(models=("trees",) if how == "light" else ("gru", "trees"), seeds=1, seed=seed, workers=1)
    samples = draw_samples({"train": real.train, FLOOR: judged, "synthetic/made": made.train}, seed)
    apart = discriminate(samples, settings, kept).distances
    found: dict[str, Any] = {
        "told_apart": {name: _whole(distance.overall) for name, distance in apart["synthetic/made"].items()},
        "floor_told_apart": {name: _whole(distance.overall) for name, distance in apart[FLOOR].items()},
    }
    if how != "full":
        trial, knowledge = Trial.draw(whole, "train", "train", settings.attack_rows, seed), Knowledge.of(whole, codec)
        attack = trial.judged("nearest neighbour", "black", nearest_neighbour(trial, made.train, knowledge))
        found["attacks"] = {"nearest neighbour": _round(attack["auc"]["value"])}
    if how == "light":
        return found
    by_role = {role: value_distances(samples[role], samples["train"], real.manifest) for role in (FLOOR, "synthetic/made")}
    profiles = {name: profile(samples[role], real.manifest) for name, role in (("real", "train"), ("set", "synthetic/made"))}
    found |= {
        "distances": _summed(by_role["synthetic/made"]),
        "floor_distances": _summed(by_role[FLOOR]),
        "profile": {name: {"pairs": of["pairs"], "slopes": of["slopes"]} for name, of in _rounded(profiles).items()},
        "height_by_sex": {
            name: _height_by_sex(samples[role].split, real.manifest) for name, role in (("real", "train"), ("set", "synthetic/made"))
        },
    }
    if how == "close":
        return found
    private = privacy(whole, {"made": made}, codec, replace(settings, quick=True), base, kept=kept)  # one small reference model
    of_set = private["sets"]["made"]
    attacks = [*of_set["attacks"], *(private["generator"] if attacked else [])]
    return found | {
        "attacks": {attack["attack"]: _round(attack["auc"]["value"]) for attack in attacks},
        "control": {attack["attack"]: _round(attack["control"]["value"]) for attack in attacks if attack["control"]},
        "found_at_1_percent": {attack["attack"]: rate and _round(rate["value"]) for attack in attacks for rate in [attack["tpr"]["0.01"]]},
        "nearer_train": _round(of_set["nearer_train"]["value"]),
        "copies": of_set["copies"]["count"],
        "near_copies": _round(of_set["near_copies"]["value"]),
    }


def _height_by_sex(split: Split, manifest: Manifest) -> list[float] | None:
    """Mean height of each sex, as the categories stand; None without either descriptor."""
    names = {name.lower(): place for place, name in enumerate(manifest.static_names)}
    sex = next((names[name] for name in ("gender", "sex") if name in names), None)
    if sex is None or "height" not in names:
        return None
    height, of = split.static[:, names["height"]], split.static[:, sex]
    return [_round(float(np.nanmean(height[of == code]))) for code in range(len(manifest.statics[sex].categories)) if (of == code).any()]


def _summed(distances: Distances) -> dict[str, Any]:
    """The mean of each distance, and the name with the largest one."""
    found: dict[str, Any] = {}
    for key, distance in distances.items():
        found[key] = {"mean": _whole(distance.overall)}
        if distance.names and np.isfinite(distance.draws[0]).any():
            worst = int(np.nanargmax(np.abs(distance.draws[0])))
            found[key] |= {"worst": distance.names[worst], "number": _round(float(distance.draws[0, worst]))}
    return found


def _whole(draws: NDArray[np.float64]) -> float | None:
    """The number itself: row 0, mean over fits if there are several."""
    value = float(np.mean(draws[0]))
    return _round(value) if np.isfinite(value) else None


def _round(value: float) -> float:
    return round(float(value), DIGITS)


def _rounded(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_rounded(value) for value in tree]
    return float(f"{tree:.4g}") if isinstance(tree, float) else tree
