"""Downstream classifiers behind one small interface: embedding, logits, loss per sample."""

import copy
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from einops import rearrange, reduce
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.base.device import device_of, here
from tardiff.data.summaries import SUMMARIES, summary
from tardiff.errors import TardiffError
from tardiff.model.sinusoids import sinusoids
from tardiff.settings import ClassifierSettings

EPOCHS_KEPT = (1, 2, 3, 5, 8, 13, 21, 34)  # of the trajectory: dense where the weights move most

State = dict[str, Tensor]


class Classifier(nn.Module):
    """A network over what `Codec.encode` shows: [batch, 2 C, time] to class logits.

    Any module with `embedding` and a linear `head` can take its place.
    """

    def __init__(self, encoder: nn.Module, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def embedding(self, seen: Tensor) -> Tensor:
        """[batch, 2 C, time] to [batch, width]: what the last layer reads."""
        return self.dropout(self.encoder(seen))

    def logits(self, seen: Tensor) -> Tensor:
        """[batch, 2 C, time] to [batch, classes]."""
        return self.head(self.embedding(seen))

    def loss(self, seen: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of each sample, [batch]."""
        return F.cross_entropy(self.logits(seen), label, reduction="none")

    @torch.no_grad()
    def probability(self, seen: Tensor, batch_size: int = 512) -> NDArray[np.float64]:
        """Class probabilities [N, classes], in evaluation mode."""
        self.eval()
        device = device_of(self)
        return torch.cat([self.logits(part.to(device)).softmax(1).cpu() for part in seen.split(batch_size)]).double().numpy()


class GRUEncoder(nn.Module):
    """Last hidden state of a bidirectional GRU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, width // 2, batch_first=True, bidirectional=True)

    def forward(self, seen: Tensor) -> Tensor:
        """[b, c, t] to [b, width]."""
        _, last = read_by(self.gru, seen)
        return rearrange(last, "direction b h -> b (direction h)")


def read_by(network: nn.Module, seen: Tensor) -> Any:
    """What a recurrent network gives for seen [b, c, t]; for a guide's gradient without cuDNN, which has it in training mode only."""
    with torch.backends.cudnn.flags(enabled=False) if seen.requires_grad and not network.training else nullcontext():
        return network(rearrange(seen, "b c t -> b t c"))


class LSTMEncoder(nn.Module):
    """Last hidden state of a bidirectional LSTM."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, width // 2, batch_first=True, bidirectional=True)

    def forward(self, seen: Tensor) -> Tensor:
        """[b, c, t] to [b, width]."""
        _, (last, _) = read_by(self.lstm, seen)
        return rearrange(last, "direction b h -> b (direction h)")


class TCNEncoder(nn.Module):
    """Dilated temporal convolutions (arXiv 1803.01271, not causal), averaged over time."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sizes = (channels, width, width, width)
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, 3, padding=dilation, dilation=dilation) for a, b, dilation in zip(sizes, sizes[1:], (1, 2, 4), strict=False)
        )

    def forward(self, seen: Tensor) -> Tensor:
        """[b, c, t] to [b, width]."""
        h = seen
        for layer in self.layers:
            out = F.gelu(layer(h))
            h = out + h if out.shape == h.shape else out
        return reduce(h, "b c t -> b c", "mean")


class TransformerEncoder(nn.Module):
    """One pre-norm Transformer layer with sinusoidal positions, averaged over time."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, width)
        self.layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, seen: Tensor) -> Tensor:
        """[b, c, t] to [b, width]."""
        h = self.enter(rearrange(seen, "b c t -> b t c"))
        h = h + sinusoids(torch.arange(h.shape[1], device=h.device), h.shape[2])
        return reduce(self.layer(h), "b t c -> b c", "mean")


class SummaryEncoder(nn.Module):
    """Seven summary features a channel, standardised: with the linear head, a logistic regression whose influence is exact.

    It has no weights of its own, and `SUMMARIES` * C outputs. Once trained, it reads 0 for a feature whose variance in the training rows
    is below the floor `eps`: its weight has learnt nothing, and records of another hospital, where it varies, would be scaled without end.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm1d(width, affine=False, momentum=None)

    def forward(self, seen: Tensor) -> Tensor:
        """[b, c, t] to [b, width]."""
        value, mask = seen.chunk(2, dim=1)
        features, variance = self.standardise(summary(value, mask.mean(-1))), self.standardise.running_var
        assert variance is not None  # it is tracked
        return features if self.training else features * (variance > self.standardise.eps)


class CommitteeEncoder(nn.Module):
    """Several encoders side by side: with the linear head, an ensemble whose logits are the mean of its members' logits.

    It is one network to whoever guides by it or differentiates it, and needs no second way of doing either.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(ENCODERS[name](channels, embedding_width(name, channels, width)) for name in MEMBERS)

    def forward(self, seen: Tensor) -> Tensor:
        """[b, c, t] to [b, sum of the members' widths]."""
        return torch.cat([member(seen) for member in self.members], dim=1)


class Committee(Classifier):
    """A classifier with a `CommitteeEncoder`, each of whose members learns by a loss of its own."""

    def __init__(self, encoder: CommitteeEncoder, widths: list[int], classes: int, dropout: float) -> None:
        super().__init__(encoder, sum(widths), classes, dropout)
        self.widths = widths

    def member_logits(self, seen: Tensor) -> Tensor:
        """[batch, 2 C, time] to [members, batch, classes], whose mean over members is `logits`."""
        parts = zip(self.embedding(seen).split(self.widths, dim=1), self.head.weight.split(self.widths, dim=1), strict=True)
        return torch.stack([F.linear(h, len(self.widths) * weight, self.head.bias) for h, weight in parts])

    def training_loss(self, seen: Tensor, label: Tensor) -> Tensor:
        """Mean of the members' cross-entropies, [batch]: were it the mean logit's, members would lean on each other."""
        return torch.stack([F.cross_entropy(logits, label, reduction="none") for logits in self.member_logits(seen)]).mean(dim=0)


MEMBERS = ("gru", "gru", "tcn", "summary")  # of a committee: what one network finds by luck, four do not agree on

ENCODERS: dict[str, Callable[[int, int], nn.Module]] = {
    "gru": GRUEncoder,
    "lstm": LSTMEncoder,
    "tcn": TCNEncoder,
    "transformer": TransformerEncoder,
    "summary": SummaryEncoder,
    "committee": CommitteeEncoder,
}


def embedding_width(architecture: str, channels: int, width: int) -> int:
    """Size of an encoder's output where `width` hidden units are asked for."""
    return SUMMARIES * channels // 2 if architecture == "summary" else width


def build(settings: ClassifierSettings, channels: int, classes: int) -> Classifier:
    """A new classifier with weights drawn from `settings.seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        width = embedding_width(settings.architecture, channels, settings.width)
        encoder = ENCODERS[settings.architecture](channels, width)
        if isinstance(encoder, CommitteeEncoder):
            widths = [embedding_width(name, channels, settings.width) for name in MEMBERS]
            return Committee(encoder, widths, classes, settings.dropout)
        return Classifier(encoder, width, classes, settings.dropout)


@dataclass
class Fit:
    """A trained classifier and how it got there.

    Attributes:
        classifier: at its best epoch, in evaluation mode.
        trajectory: its weights at a few epochs from early to best; none without validation rows.
        epochs: the epoch of each of them.
        history: training loss and validation AUPRC by epoch.
    """

    classifier: Classifier
    trajectory: list[State]
    epochs: list[int]
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    seen: Tensor,
    label: Tensor,
    validation: tuple[Tensor, Tensor] | None,
    settings: ClassifierSettings,
    classes: int,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    classifier: Classifier | None = None,
    balance: float | None = None,
) -> Fit:
    """Train, on the device that was chosen, with early stopping on validation AUPRC, or for all epochs where there are no validation rows.

    Args:
        seen: training rows as `Codec.encode` shows them, [N, 2 C, T].
        label: [N].
        validation: the same of the validation rows; None trains for all of the settings' epochs and keeps the last.
        classifier: the network to train; None builds the settings' architecture.
        balance: power of a class's inverse frequency by which its rows weigh in the loss; None is 1 or 0, as the settings say.
    """
    if validation is not None and len(torch.unique(validation[1])) < 2:
        raise TardiffError("the validation rows have one class only; AUPRC needs both (use a larger validation split)")
    classifier = build(settings, seen.shape[1], classes) if classifier is None else classifier
    device = here()
    classifier, seen, label = classifier.to(device), seen.to(device), label.to(device)
    power = float(settings.class_weights) if balance is None else balance
    weight = (len(label) / (classes * torch.bincount(label, minlength=classes).clamp(min=1))) ** power if power else None
    optimizer = torch.optim.AdamW(classifier.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    states: dict[int, State] = {}
    history: list[dict[str, float]] = []
    best_epoch = 0
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for epoch in range(1, settings.epochs + 1):
            loss = _epoch(classifier, optimizer, seen, label, weight, settings.batch_size)
            if not math.isfinite(loss):
                raise TardiffError(f"classifier: the loss is {loss} in epoch {epoch}; start again with a smaller --learning-rate")
            history.append({"epoch": epoch, "loss": loss})
            if validation is None:
                best_epoch = epoch
                continue
            score = auprc(validation[1].numpy(), Classifier.probability(classifier, validation[0]))
            history[-1]["validation_auprc"] = score
            if on_epoch:
                on_epoch(history[-1])
            if best_epoch == 0 or score > history[best_epoch - 1]["validation_auprc"]:
                best_epoch = epoch
            if epoch in EPOCHS_KEPT or best_epoch == epoch:
                states[epoch] = copy.deepcopy(classifier.state_dict())
            if epoch - best_epoch >= settings.patience:
                break
    if validation is None:
        return Fit(classifier.cpu().eval(), [], [], history)
    kept = sorted({e for e in EPOCHS_KEPT if e < best_epoch} | {best_epoch})
    classifier.load_state_dict(states[best_epoch])
    return Fit(classifier.cpu().eval(), [{n: t.cpu() for n, t in states[e].items()} for e in kept], kept, history)


def _epoch(
    classifier: Classifier, optimizer: torch.optim.Optimizer, seen: Tensor, label: Tensor, weight: Tensor | None, batch_size: int
) -> float:
    classifier.train()
    loss_of = getattr(classifier, "training_loss", classifier.loss)  # of all but a committee
    total = torch.zeros((), device=seen.device)
    for rows in torch.randperm(len(label)).split(batch_size):
        loss = loss_of(seen[rows], label[rows])
        if weight is not None:
            loss = loss * weight[label[rows]]
        optimizer.zero_grad()
        loss.mean().backward()
        nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimizer.step()
        total += loss.detach().sum()
    return float(total) / len(label)


def auprc(label: NDArray[np.int64], probability: NDArray[np.float64]) -> float:
    """Average precision: of class 1 if there are two classes, else the mean over the classes that occur."""
    if probability.shape[1] == 2:
        return float(average_precision_score(label == 1, probability[:, 1]))
    present = np.unique(label)
    return float(np.mean([average_precision_score(label == c, probability[:, c]) for c in present]))


def auroc(label: NDArray[np.int64], probability: NDArray[np.float64]) -> tuple[float, float]:
    """AUROC of each class against the rest, the mean over the classes that occur, and its standard error.

    The error is that of DeLong et al. (1988), exact for two classes. One class alone has nothing to be ranked against: 0.5, without error.
    """
    placed = []
    for c in np.unique(label):
        own, rest = probability[label == c, c], np.sort(probability[label != c, c])
        below = np.searchsorted(rest, own, "left") + np.searchsorted(rest, own, "right")
        placed.append(below / (2 * len(rest)) if len(rest) else np.full(len(own), 0.5))
    error = 2 * sum(of.var() / len(of) for of in placed) ** 0.5 / len(placed)
    return float(np.mean([of.mean() for of in placed])), float(error)
