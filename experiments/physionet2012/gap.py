"""Is there a gap to close? Mean last-layer gradients of deaths: real rows against unguided samples, and against each other.

usage: python gap.py OUT    (the folder that run.sh filled)
"""

import sys
from pathlib import Path

import torch

from tardiff import ClassifierFolder, Dataset, TarDiffPipeline
from tardiff.classifier.influence import class_gradients, class_spreads, last_layer

CLASS = 1


def main(out: Path) -> None:
    """Print a line a comparison: |gap|^2 over what chance alone gives, at the first and the best checkpoint."""
    folder, data = ClassifierFolder.load(out / "classifier"), Dataset.load(out / "data")
    codec = TarDiffPipeline.from_pretrained(out / "run").codec
    splits = {"train": data.train, "validation": data.split("validation"), "unguided": Dataset.load(out / "unguided").train}
    classes = len(data.manifest.task.classes)
    print("deaths: " + ", ".join(f"{int((split.label == CLASS).sum())} {name}" for name, split in splits.items()))
    print("\n| | squared gap over chance, first checkpoint | best checkpoint |\n|---|---|---|")
    mean, noise = {}, {}
    for name, split in splits.items():
        seen, label = codec.seen(codec.encode(split)), torch.from_numpy(split.label)
        ends = [folder.checkpoints()[k] for k in (0, -1)]
        mean[name] = [last_layer(class_gradients(c, seen, label, classes))[CLASS] for c in ends]
        noise[name] = [class_spreads(c, seen, label, classes)[CLASS] / (label == CLASS).sum() for c in ends]
    for a, b in (("train", "unguided"), ("validation", "unguided"), ("validation", "train")):
        ratios = [float((mean[a][k] - mean[b][k]).square().sum() / (noise[a][k] + noise[b][k])) for k in (0, 1)]
        print(f"| {a} - {b} | {ratios[0]:.1f} | {ratios[1]:.1f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
