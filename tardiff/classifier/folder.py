"""The classifier folder: a trained classifier with all that guidance needs to know of it."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tardiff.base.device import device_of
from tardiff.base.files import new_folder, read_struct, write_struct
from tardiff.base.folders import CLASSIFIER
from tardiff.base.noise import stream
from tardiff.classifier.curvature import last_layer_hessian
from tardiff.classifier.guidance_rows import guidance_rows
from tardiff.classifier.influence import at_checkpoints, class_gradients
from tardiff.classifier.networks import Classifier, State, auprc, auroc, build, fit
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split, Task
from tardiff.errors import TardiffError
from tardiff.settings import ClassifierSettings

HEAD = ("head.weight", "head.bias")
GUIDE_WIDTH = 32


class ClassifierCard(msgspec.Struct, frozen=True):
    """What `classifier.json` says."""

    settings: dict[str, Any]
    task: Task
    data_hash: str
    class_counts: tuple[int, ...]
    """Training rows of each class."""
    validation_auroc: float
    """How well it ranks rows that it has not learnt (`networks.auroc`): those that it learnt it knows too well."""
    guidance_set: str
    guidance_rows: str
    guidance_counts: tuple[int, ...]
    epochs: tuple[int, ...]
    validation_auprc: float
    history: tuple[dict[str, float], ...]
    guidance_source: str = ""
    guidance_hash: str = ""
    """Content hash of the data set that the guidance rows are of."""

    @property
    def serves(self) -> dict[str, Any]:
        """Whom guidance serves, as the manifest of samples says it."""
        rows = dict(zip(self.task.classes, self.guidance_counts, strict=True))
        return {
            "source": self.guidance_source,
            "data": self.guidance_hash or self.data_hash,
            "split": self.guidance_set,
            "rule": self.guidance_rows,
            "rows": rows,
        }


@dataclass(frozen=True)
class ClassifierFolder:
    """A classifier, its codec, its training trajectory and the guidance rows' gradients along it.

    Attributes:
        card: settings and figures.
        codec: the space that it reads.
        classifier: at its best epoch, in evaluation mode.
        trajectory: weights at `card.epochs`, early to best.
        gradients: for each of them, mean last-layer loss gradient of the guidance rows of each class, [classes, outputs, width + 1].
        hessian: of the training rows' mean loss over the last layer of `classifier`; None where it is too large to keep, or the folder
            is older.
    """

    card: ClassifierCard
    codec: Codec
    classifier: Classifier
    trajectory: list[State]
    gradients: list[Tensor]
    hessian: Tensor | None = None

    def save(self, path: str | Path) -> None:
        """Write the folder, whole or not at all.

        Raises:
            TardiffError: `path` exists.
        """
        with new_folder(path) as folder:
            write_struct(folder / "classifier.json", self.card)
            self.codec.save(folder / "codec.json")
            save_file(self.classifier.state_dict(), folder / "model.safetensors")
            save_file(_numbered(self.trajectory), folder / "trajectory.safetensors")
            save_file(_numbered([{HEAD[0]: g[..., :-1], HEAD[1]: g[..., -1]} for g in self.gradients]), folder / "guidance.safetensors")
            if self.hessian is not None:
                save_file({"hessian": self.hessian}, folder / "curvature.safetensors")

    @classmethod
    def load(cls, path: str | Path) -> "ClassifierFolder":
        """Open a classifier folder.

        Raises:
            TardiffError: naming the file that is missing or damaged.
        """
        path = Path(path)
        CLASSIFIER.check(path)
        card = read_struct(path / "classifier.json", ClassifierCard)
        try:
            settings = msgspec.convert(card.settings, ClassifierSettings)
        except (msgspec.MsgspecError, TardiffError) as error:
            raise TardiffError(f"{path / 'classifier.json'}: {error}") from error
        classes = len(card.task.classes)
        if any(len(of) != classes for of in (card.class_counts, card.guidance_counts)):
            raise TardiffError(f"{path / 'classifier.json'}: its counts are not of {classes} classes")
        codec = Codec.load(path / "codec.json")
        classifier = build(settings, 2 * len(codec.channels), classes).eval()
        try:
            classifier.load_state_dict(_read(path / "model.safetensors"))
        except RuntimeError as error:
            raise TardiffError(f"{path / 'model.safetensors'}: does not fit classifier.json; fit the classifier again") from error
        shapes = {name: parameter.shape for name, parameter in classifier.state_dict().items()}
        trajectory = _listed(path / "trajectory.safetensors", len(card.epochs), shapes)
        by_class = {name: torch.Size((classes, *shapes[name])) for name in HEAD}
        heads = _listed(path / "guidance.safetensors", len(card.epochs), by_class)
        gradients = [torch.cat([g[HEAD[0]], g[HEAD[1]][..., None]], dim=-1) for g in heads]
        return cls(card, codec, classifier, trajectory, gradients, _hessian(path / "curvature.safetensors", gradients[0][0].numel()))

    @property
    def device(self) -> torch.device:
        """Where its networks compute."""
        return device_of(self.classifier)

    def to(self, device: torch.device) -> "ClassifierFolder":
        """The same folder, whose networks and gradients are on a device; the Hessian, which is factored once, stays."""
        trajectory = [{name: tensor.to(device) for name, tensor in state.items()} for state in self.trajectory]
        classifier, gradients = copy.deepcopy(self.classifier).to(device), [g.to(device) for g in self.gradients]
        return replace(self, classifier=classifier, trajectory=trajectory, gradients=gradients)

    def checkpoints(self) -> list[Classifier]:
        """The classifier along its trajectory."""
        return at_checkpoints(self.classifier, self.trajectory)

    def aimed(self, data: Dataset, split: str = "train", rows: str = "all") -> "ClassifierFolder":
        """The same classifier, for guidance that serves rows of a data set, whoever's.

        Args:
            data: whose channels, steps and classes are those of the classifier, in the same order (`arranged`).
            split: whose rows are read.
            rows: which of them, as `guidance_rows.guidance_rows` reads it.

        Raises:
            TardiffError: the split is missing or holds test rows, or no row is chosen.
        """
        guidance, counts = _guidance_split(data, split), np.array(self.card.class_counts)
        probability = Classifier.probability(self.classifier, self.codec.encode(guidance)) if rows == "wrong" else np.empty(0)
        chosen = guidance_rows(guidance, data.manifest, rows, probability, counts / counts.sum())
        data.refuse_changed()
        folder = self.serving(guidance.take(chosen), split, rows)
        of = {"guidance_source": data.manifest.source, "guidance_hash": data.manifest.content_hash}
        return replace(folder, card=msgspec.structs.replace(folder.card, **of))

    def serving(self, guidance: Split, name: str, rows: str = "all") -> "ClassifierFolder":
        """The same classifier, for guidance that serves other rows.

        Args:
            guidance: the guidance rows.
            name: the card's name of the split that they come from.
            rows: which of its rows they are.
        """
        seen, label = _rows(self.codec, guidance)
        classes, checkpoints = len(self.card.task.classes), self.checkpoints()
        card = msgspec.structs.replace(
            self.card,
            guidance_set=name,
            guidance_rows=rows,
            guidance_counts=tuple(torch.bincount(label, minlength=classes).tolist()),
        )
        seen, label = seen.to(self.device), label.to(self.device)
        return replace(self, card=card, gradients=[class_gradients(c, seen, label, classes) for c in checkpoints])


def fit_classifier(
    data: Dataset,
    settings: ClassifierSettings,
    guidance_set: str = "train",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    codec: Codec | None = None,
    rows: str = "all",
    classifier: Classifier | None = None,
) -> ClassifierFolder:
    """Train a classifier on a data set's training rows and take the gradients of its guidance rows.

    Args:
        data: with a validation split, on which training stops.
        settings: architecture and optimizer.
        guidance_set: name of the split whose rows guidance serves.
        on_epoch: called with each epoch's history entry.
        codec: the space to read records in: that of a generator which learnt from other rows; None fits one on the training rows.
        rows: which rows of the guidance set, as `guidance_rows.guidance_rows` reads it.
        classifier: another network to train in place of the settings' architecture.

    Raises:
        TardiffError: a split is missing, guidance would use test rows, or no rows are left to guide by.
    """
    codec = codec or Codec.fit(data.train, data.manifest)
    classes = len(data.manifest.task.classes)
    counts = torch.bincount(torch.from_numpy(data.train.label), minlength=classes)
    guidance, share = _guidance_split(data, guidance_set), (counts / counts.sum()).double().numpy()
    if rows != "wrong":  # which a trained classifier alone can tell; the others are refused before the work
        guidance_rows(guidance, data.manifest, rows, np.empty(0), share)
    validation = _rows(codec, data.split("validation"))
    training = _rows(codec, data.train)
    result = fit(*training, validation, settings, classes, on_epoch, classifier)
    data.refuse_changed()
    learnt = Classifier.probability(result.classifier, validation[0])
    card = ClassifierCard(
        settings=asdict(settings),
        task=data.manifest.task,
        data_hash=data.manifest.content_hash,
        class_counts=tuple(counts.tolist()),
        validation_auroc=auroc(validation[1].numpy(), learnt)[0],
        guidance_set=guidance_set,
        guidance_rows=rows,
        guidance_counts=(),
        epochs=tuple(result.epochs),
        validation_auprc=auprc(validation[1].numpy(), learnt),
        history=tuple(result.history),
    )
    hessian = last_layer_hessian(result.classifier, training[0])
    return ClassifierFolder(card, codec, result.classifier, result.trajectory, [], hessian).aimed(data, guidance_set, rows)


def _guidance_split(data: Dataset, name: str) -> Split:
    """The split that guidance serves."""
    if name == "test":
        raise TardiffError("--guidance-set test: guidance must never see test rows; use train or validation")
    return data.split(name)


def guide_seeds(seed: int, count: int) -> list[int]:
    """Seeds of so many classifiers that guide together."""
    return stream("guides", seed).integers(2**31, size=count).tolist()


def fit_guide(data: Dataset, codec: Codec, seed: int, architecture: str = "committee", epochs: int = 60) -> ClassifierFolder:
    """A small classifier that guides where the user gives none, in a generator's space; a committee did best (experiments)."""
    settings = ClassifierSettings(architecture=architecture, width=GUIDE_WIDTH, epochs=epochs, seed=seed)  # type: ignore[arg-type]
    return fit_classifier(data, settings, codec=codec)


def _rows(codec: Codec, split: Split) -> tuple[Tensor, Tensor]:
    return codec.encode(split), torch.from_numpy(split.label)


def _numbered(states: list[State]) -> State:
    return {f"{k}/{name}": tensor.contiguous() for k, state in enumerate(states) for name, tensor in state.items()}


def _listed(path: Path, count: int, shapes: dict[str, torch.Size]) -> list[State]:
    """The inverse of `_numbered`; every state must have the given tensors."""
    tensors = _read(path)
    wanted = {f"{k}/{name}": shape for k in range(count) for name, shape in shapes.items()}
    numbers = {name.partition("/")[0] for name in tensors}
    if numbers != set(map(str, range(count))) or any(n not in tensors or tensors[n].shape != shape for n, shape in wanted.items()):
        raise TardiffError(f"{path}: does not fit classifier.json; fit the classifier again")
    return [{name: tensors[f"{k}/{name}"] for name in shapes} for k in range(count)]


def _hessian(path: Path, size: int) -> Tensor | None:
    """The Hessian in a file; None if there is no file."""
    if not path.exists():
        return None
    hessian = _read(path).get("hessian")
    if hessian is None or hessian.shape != (size, size):
        raise TardiffError(f"{path}: does not fit classifier.json; fit the classifier again")
    return hessian


def _read(path: Path) -> State:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise TardiffError(f"{path}: missing or damaged ({error}); fit the classifier again") from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise TardiffError(f"{path}: holds a number that is not finite; fit the classifier again")
    return tensors
