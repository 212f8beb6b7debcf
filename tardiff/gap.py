"""What real guidance rows teach a classifier and unguided samples do not yet, as far as that stands above chance."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tardiff.classifier_folder import ClassifierFolder
from tardiff.guidance import class_gradient_sizes
from tardiff.influence import InfluenceObjective, class_gradients, class_spreads, gap_directions, last_layer, raw_influence, shrinkage


@dataclass(frozen=True)
class Gap:
    """Gap influence, ready to be followed.

    Attributes:
        objective: influence along the believed part of the gap, summed over checkpoints.
        class_size: root mean square gradient of each class along the *whole* gap, [classes]. It sets the scale, so that a
            gap of which little is believed moves samples little: guidance fades as the gap closes.
        kept: the believed share of each class's gap (of what was still missing, in a later round), mean over checkpoints.
    """

    objective: InfluenceObjective
    class_size: Tensor
    kept: tuple[float, ...]


def measure_gap(folder: ClassifierFolder, see: Callable[[Tensor], Tensor], x: Tensor, label: Tensor, earlier: Gap | None = None) -> Gap:
    """Compare a classifier's guidance rows with a pilot of samples, checkpoint by checkpoint and class by class.

    Args:
        folder: the classifier, with what its guidance rows teach.
        see: codec space to what the classifier sees (`Codec.seen`).
        x: unguided samples, or samples that an earlier gap has steered, [N, 2 C, T].
        label: [N]; every class must occur.
        earlier: the gap that has steered them: what they still miss is added to it, on its scale.
    """
    checkpoints, classes, seen = folder.checkpoints(), len(folder.card.task.classes), see(x)
    real = [last_layer(gradients) for gradients in folder.gradients]
    whole = gap_directions(real, [last_layer(class_gradients(c, seen, label, classes)) for c in checkpoints])
    believed = []
    for checkpoint, gap, spread in zip(checkpoints, whole, folder.card.guidance_spread, strict=True):
        chance = torch.tensor(spread) / torch.tensor(folder.card.guidance_counts)
        chance = chance + class_spreads(checkpoint, seen, label, classes) / label.bincount(minlength=classes)
        believed.append(shrinkage(gap, chance.nan_to_num(torch.inf)))  # a class without guidance rows is all chance
    directions = [gap * share[:, None, None] for gap, share in zip(whole, believed, strict=True)]
    kept = tuple(torch.stack(believed).mean(dim=0).tolist())
    if earlier is not None:
        directions = [before + more for before, more in zip(earlier.objective.directions, directions, strict=True)]
        return Gap(InfluenceObjective(checkpoints, directions, raw_influence), earlier.class_size, kept)
    size = class_gradient_sizes(InfluenceObjective(checkpoints, whole, raw_influence), see, x, label, classes)
    return Gap(InfluenceObjective(checkpoints, directions, raw_influence), size, kept)
