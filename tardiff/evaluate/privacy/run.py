"""Every privacy measure of an evaluation: by synthetic set, of the generator, of each classifier."""

from collections.abc import Callable, Mapping
from typing import Any

from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.privacy.anonymity import Bands, k_anonymity
from tardiff.evaluate.privacy.attributes import attribute_inference
from tardiff.evaluate.privacy.closest import RESAMPLES, closest_records
from tardiff.evaluate.privacy.denoising import calibrated_charting, calibrated_loss, loss_over_steps, reference_model
from tardiff.evaluate.privacy.density_ratio import density_ratio
from tardiff.evaluate.privacy.guidance import classifier_loss, gradient_alignment
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.likelihood import ROWS, flow_likelihood
from tardiff.evaluate.privacy.nearest_neighbour import nearest_neighbour
from tardiff.evaluate.privacy.shadow_classifier import shadow_classifier
from tardiff.evaluate.privacy.trial import Score, Trial
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import EvaluateSettings

Attacks = list[dict[str, Any]]

BLACK_BOX: dict[str, Callable[[Trial, Split, Knowledge], Score]] = {
    "nearest neighbour": nearest_neighbour,
    "density ratio": density_ratio,
    "shadow classifier": shadow_classifier,
}


def privacy(
    real: Dataset,
    synthetic: Mapping[str, Dataset],
    codec: Codec,
    settings: EvaluateSettings,
    pipeline: TarDiffPipeline | None = None,
    classifiers: Mapping[str, ClassifierFolder] | None = None,
) -> dict[str, Any]:
    """What can be learnt of real patients.

    Members are training rows or, of a classifier's guidance set, guidance rows; the others are test rows. Validation rows are
    never the others: a classifier stopped on them, and guidance may have followed their gradients.

    Args:
        real: with its three splits.
        synthetic: data sets by name.
        codec: fitted on the real training rows.
        settings: most rows attacked, seed, and whether a quick look is enough (no likelihoods).
        pipeline: the generator that learnt the real training rows, for attacks that see it.
        classifiers: classifiers that read real rows, by name.

    Returns:
        `rows` attacked, of members and of others each; `reference` rows that the attacker knows; `resamples`; `sets` by name;
        `generator`, a list of attacks; `classifiers`, such lists by name.
    """
    folders = classifiers or {}
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

    return {
        "rows": len(trial.members),
        "reference": len(trial.reference),
        "resamples": RESAMPLES,
        "sets": {name: of_set(dataset.train) for name, dataset in synthetic.items()},
        "generator": [] if pipeline is None else _of_generator(trial, pipeline, real, settings.quick),
        "classifiers": {name: _of_classifier(trial, served[folder.card.guidance_set], folder) for name, folder in folders.items()},
    }


def _of_generator(trial: Trial, pipeline: TarDiffPipeline, real: Dataset, quick: bool) -> Attacks:
    """By the losses of training and, with time, calibrated by a model of other patients, and by the likelihood."""
    found = [trial.judged("denoising loss", "white", loss_over_steps(trial, pipeline))]
    if not quick:
        reference = reference_model(trial, pipeline, real)
        found.append(trial.judged("calibrated denoising loss", "white", calibrated_loss(trial, pipeline, reference)))
        found.append(trial.judged("calibrated charting", "white", calibrated_charting(trial, pipeline, reference)))
        few = trial.few(ROWS)
        found.append(few.judged("flow likelihood", "white", flow_likelihood(few, pipeline)))
    return found


def _of_classifier(trial: Trial, guided: Trial, folder: ClassifierFolder) -> Attacks:
    """The loss of the rows that the classifier has read, and the gradients that it stores of its guidance rows."""
    read = [guided] if folder.card.guidance_set == "train" else [trial, guided]
    return [t.judged("guidance loss", "white", classifier_loss(t, folder)) for t in read] + [
        guided.judged("guidance gradient", "white", gradient_alignment(guided, folder))
    ]
