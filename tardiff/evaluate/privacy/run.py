"""Every privacy measure of an evaluation: by synthetic set, of the generator, of each classifier."""

from collections.abc import Mapping
from typing import Any

from tardiff.base.progress import bar
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.privacy.anonymity import Bands, k_anonymity
from tardiff.evaluate.privacy.attributes import attribute_inference
from tardiff.evaluate.privacy.black_box import BLACK_BOX
from tardiff.evaluate.privacy.closest import RESAMPLES, closest_records
from tardiff.evaluate.privacy.guidance import classifier_loss, gradient_alignment
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.references import FEWEST_ROWS, Attacker, Effort, training_of
from tardiff.evaluate.privacy.trial import Trial
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import EvaluateSettings

Attacks = list[dict[str, Any]]


def privacy(
    real: Dataset,
    synthetic: Mapping[str, Dataset],
    codec: Codec,
    settings: EvaluateSettings,
    pipeline: TarDiffPipeline | None = None,
    classifiers: Mapping[str, ClassifierFolder] | None = None,
    kept: Cache = Cache(),
) -> dict[str, Any]:
    """What can be learnt of real patients.

    Members are training rows or, of a classifier's guidance set, guidance rows; the others are held-out rows. Where a classifier may have
    read validation rows, the others are test rows alone.

    Args:
        settings: most rows attacked, seed, and whether one small reference model is enough.
        pipeline: the generator; it learnt the training rows, and drew the sets or could have drawn them.

    Returns:
        `rows` attacked; `reference` rows that the attacker knows; `resamples`; `sets` by name; `generator`, a list of attacks;
        `references`, the reference models behind the calibrated ones; `classifiers`, lists of attacks by name.
    """
    folders, sets = classifiers or {}, {name: dataset.train for name, dataset in synthetic.items()}
    trial = Trial.draw(real, "train", "train", settings.attack_rows, settings.seed)
    served = {
        split: Trial.draw(real, split, "guidance", settings.attack_rows, settings.seed)
        for split in sorted({folder.card.guidance_set for folder in folders.values()})
    }
    # If guidance serves training rows, attacks on training rows are attacks on guidance rows.
    trials = [trial, *(guided for split, guided in served.items() if split != "train")]
    knowledge, bands = Knowledge.of(real, codec), Bands.fit(real.train, real.manifest)
    train, held = knowledge.flat(real.train), knowledge.flat(real.split("test"))

    def of_set(rows: Split) -> dict[str, Any]:
        return closest_records(knowledge.flat(rows), train, held, settings.seed) | {
            "attacks": [t.judged(name, "black", attack(t, rows, knowledge)) for t in trials for name, attack in BLACK_BOX.items()],
            "attribute_inference": attribute_inference(trial, rows, knowledge, bands),
            "k_anonymity": k_anonymity(rows, real.train, real.split("test"), bands, settings.seed),
        }

    found: dict[str, Any] = {
        "rows": len(trial.members),
        "reference": len(trial.reference),
        "resamples": RESAMPLES,
        "sets": {name: of_set(rows) for name, rows in bar(sets.items(), desc="privacy: attacks")},
        "generator": [],
        "references": None,
        "classifiers": {name: _of_classifier(trial, served[folder.card.guidance_set], folder) for name, folder in folders.items()},
    }
    if pipeline is not None:
        _calibrate(found, real, sets, knowledge, settings, pipeline, kept)
    return found


def _calibrate(
    found: dict[str, Any],
    real: Dataset,
    sets: Mapping[str, Split],
    knowledge: Knowledge,
    settings: EvaluateSettings,
    pipeline: TarDiffPipeline,
    kept: Cache,
) -> None:
    """Add attacks by reference models: on the weights to the generator's, on samples to those of their set."""
    trial = Trial.draw(real, "train", "train", settings.attack_rows, settings.seed, ("validation", "test"))
    found["references"] = {"models": 0, "steps": 0, "rows": len(trial.reference), "others": len(trial.others), "reason": None}
    if len(trial.reference) < FEWEST_ROWS:
        found["references"]["reason"] = (
            f"too few held-out rows for reference models: half of the patients have {len(trial.reference):,} rows to learn, "
            f"{FEWEST_ROWS} are needed"
        )
        return
    effort = Effort.of(training_of(pipeline), trial, settings.quick, len(sets))
    found["references"] |= {"models": effort.references, "steps": effort.steps}
    for target, attack, score in Attacker(trial, pipeline, real, sets, knowledge, effort).scores(kept):
        box, attacks = ("white", found["generator"]) if target is None else ("black", found["sets"][target]["attacks"])
        attacks.append(trial.judged(attack, box, score))


def _of_classifier(trial: Trial, guided: Trial, folder: ClassifierFolder) -> Attacks:
    """The loss of the rows that the classifier has read, and the gradients that it stores of its guidance rows."""
    read = [guided] if folder.card.guidance_set == "train" else [trial, guided]
    return [t.judged("guidance loss", "white", classifier_loss(t, folder)) for t in read] + [
        guided.judged("guidance gradient", "white", gradient_alignment(guided, folder))
    ]
