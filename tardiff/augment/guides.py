"""From the user's model to classifiers that can guide: fitted, each of them, inside the fold."""

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import nn

from tardiff.augment.features import RecordSummary
from tardiff.augment.surrogate import SurrogateFit, distil
from tardiff.base.threads import one_thread
from tardiff.classifier.curvature import last_layer_hessian
from tardiff.classifier.folder import ClassifierCard, ClassifierFolder, fit_classifier, fit_guide, guide_seeds
from tardiff.classifier.networks import ENCODERS, auprc, auroc
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import InputError
from tardiff.evaluate.judges import all_classes
from tardiff.settings import ClassifierSettings

NEEDED = ("loss", "logits", "embedding", "head")


def fit_guides(
    model: Any, data: Dataset, codec: Codec, seed: int, n_jobs: int | None = None, features: str = "summary", epochs: int = 60
) -> tuple[list[ClassifierFolder], list[SurrogateFit]]:
    """Classifiers that guide for `model`, and how well the stand-ins among them follow it.

    Args:
        model: None for a committee; the name of an architecture; a torch module, or a function of channels (2 C) and classes that
            makes one; a scikit-learn estimator; a classifier folder (fitted already); or several of these.
        data: the fold: rows to learn from (`train`) and to stop on (`validation`).
        n_jobs: models fitted side by side, as joblib has it.
        features: what an estimator reads: "summary" ([n, 7 C]) or "record" ([n, C, T] with NaN).
    """
    models = ("committee",) if model is None else tuple(model) if isinstance(model, (list, tuple)) else (model,)
    run = joblib.Parallel(n_jobs=n_jobs)
    seeds = guide_seeds(seed, len(models))
    fitted = run(joblib.delayed(_fitted)(one, data, codec, s, features, epochs) for one, s in zip(models, seeds, strict=True))
    return [folder for folder, _ in fitted], [fit for _, fit in fitted if fit is not None]


def _fitted(model: Any, data: Dataset, codec: Codec, seed: int, features: str, epochs: int) -> tuple[ClassifierFolder, SurrogateFit | None]:
    with one_thread():
        if isinstance(model, ClassifierFolder):
            return model, None
        if isinstance(model, Path):
            return ClassifierFolder.load(model), None
        if isinstance(model, str):
            if model not in ENCODERS:
                raise InputError(f"model {model!r}: unknown architecture (known: {', '.join(ENCODERS)}); give a folder as a Path")
            return fit_guide(data, codec, seed, model, epochs), None
        if hasattr(model, "predict_proba") or hasattr(model, "get_params"):
            return _stand_in(model, data, codec, seed, features, epochs)
        settings = ClassifierSettings(epochs=epochs, seed=seed)
        return fit_classifier(data, settings, codec=codec, classifier=_module(model, data, seed)), None


def _module(model: nn.Module | Callable[[int, int], nn.Module], data: Dataset, seed: int) -> Any:
    """A copy of the user's network whose layers are drawn afresh, so that nothing learnt elsewhere enters the fold."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if isinstance(model, nn.Module):
            module = copy.deepcopy(model)
            for layer in module.modules():
                if callable(reset := getattr(layer, "reset_parameters", None)):
                    reset()
        elif callable(model):
            module = model(2 * len(data.manifest.channels), len(data.manifest.task.classes))
        else:
            raise InputError(f"model: {type(model).__name__} is neither a torch module nor a scikit-learn estimator")
    missing = [name for name in NEEDED if not hasattr(module, name)]
    if missing:
        raise InputError(
            f"model: {type(module).__name__} has no {missing[0]}; guidance needs loss(seen, label) -> [B], logits(seen), "
            "embedding(seen) and a linear head"
        )
    return module


def _stand_in(estimator: Any, data: Dataset, codec: Codec, seed: int, features: str, epochs: int) -> tuple[ClassifierFolder, SurrogateFit]:
    """The estimator, fitted on the fold's rows, and a network that has learnt its probabilities."""
    if not hasattr(estimator, "predict_proba"):
        raise InputError(f"model: {type(estimator).__name__} has no predict_proba; choose an estimator that gives probabilities")
    learn, held = data.train, data.split("validation")
    read = _reader(features, learn)
    fitted = clone(estimator).fit(read(learn), learn.label)
    probability = [all_classes(fitted.predict_proba(read(s)), fitted.classes_, len(data.manifest.task.classes)) for s in (learn, held)]
    seen = [codec.encode(split) for split in (learn, held)]
    classifier, settings, fit = distil((seen[0], probability[0]), (seen[1], probability[1]), seed, epochs)
    learnt = classifier.probability(seen[1])
    counts = tuple(np.bincount(learn.label, minlength=len(data.manifest.task.classes)).tolist())
    ranked, score = auroc(held.label, learnt)[0], auprc(held.label, learnt)
    card = ClassifierCard(
        asdict(settings), data.manifest.task, data.manifest.content_hash, counts, ranked, "train", "all", (), (1,), score, ()
    )
    folder = ClassifierFolder(card, codec, classifier, [classifier.state_dict()], [], last_layer_hessian(classifier, seen[0]))
    return folder.serving(learn, "train"), fit


def _reader(features: str, learn: Split) -> Callable[[Split], NDArray[Any]]:
    if features == "record":
        return lambda split: split.values
    summaries = RecordSummary().fit(learn.values)
    return lambda split: summaries.transform(split.values)
