"""What guided sampling asks of the networks, counted: rows that the U-Net and the classifier read, charts drawn; no clock.

The generator is untrained and small, so the classifier's target is set: which doses are measured is decided by it alone.

    python -m experiments.benchmarks.evaluations --out experiments/benchmarks/evaluations.json
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from experiments.benchmarks.made_up import made_up, untrained
from tardiff.base.files import write_json
from tardiff.classifier.folder import ClassifierFolder, fit_classifier
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import ClassifierSettings, GuidanceSettings, SamplerSettings, TrainSettings
from tardiff.synthesis import synthesise

ROWS = 1024
SURE, UNSURE = 1.0, 0.0
"""Log-probabilities that no sample's label reaches, and that each one's exceeds."""
WAYS: dict[str, GuidanceSettings] = {
    "unguided": GuidanceSettings(guidance="none"),
    "classifier-free": GuidanceSettings(guidance="classifier-free"),
    "strength given": GuidanceSettings(strength=0.3),
}


def main() -> None:
    """Count every way and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = made_up(256, channels=3, steps=8)
    pipeline = untrained(data, TrainSettings(widths=(8,), blocks=1))
    folder = fit_classifier(data, ClassifierSettings("gru", width=4, epochs=1), codec=pipeline.codec)
    found = {name: counted(pipeline, folder, guidance)[0] for name, guidance in WAYS.items()}
    _, match = counted(pipeline, aimed_at(folder, SURE), GuidanceSettings())
    targets = {"out of reach": SURE, "within reach": (match.aurocs[0] + match.aurocs[-1]) / 2, "exceeded unguided": UNSURE}
    for name, target in targets.items():
        with tempfile.TemporaryDirectory() as kept:
            for time in ("first", "again"):
                found[f"matched, {name}, {time}"], _ = counted(
                    pipeline, aimed_at(folder, target), GuidanceSettings(), Path(kept) / "match.json"
                )
    for name, counts in found.items():
        print(f"{name:<36}" + "".join(f"{kind} {count:>9,}  " for kind, count in counts.items()))
    write_json(options.out, {"rows": ROWS, "steps": SamplerSettings().steps, "ways": found})


def aimed_at(folder: ClassifierFolder, auroc: float) -> ClassifierFolder:
    """The classifier, as if it ranked its validation rows so."""
    return replace(folder, card=msgspec.structs.replace(folder.card, validation_auroc=auroc))


def counted(
    pipeline: TarDiffPipeline, folder: ClassifierFolder, guidance: GuidanceSettings, kept: Path | None = None
) -> tuple[dict[str, int], Any]:
    """Sample `ROWS` rows; returns the counts, and the match if there is one."""
    with counting(pipeline, folder) as counts:
        made = synthesise(pipeline, ROWS, classifier=folder, guidance=guidance, progress=False, kept_match=kept)
    return dict(counts), made.match


@contextmanager
def counting(pipeline: TarDiffPipeline, folder: ClassifierFolder) -> Iterator[Counter[str]]:
    """Counts of calls and rows of the U-Net, of rows that the classifier reads and of charts, while the block runs."""
    counts: Counter[str] = Counter({"U-Net calls": 0, "U-Net rows": 0, "classifier rows": 0, "charts": 0})

    def denoised(module: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        counts.update({"U-Net calls": 1, "U-Net rows": len(given[0])})

    def classified(module: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        counts["classifier rows"] += len(given[0])

    drawn = pipeline.charting.sample

    def charted(label: Tensor, *arguments: Any) -> Tensor:
        counts["charts"] += len(label)
        return drawn(label, *arguments)

    hooks = [pipeline.unet.register_forward_hook(denoised), folder.classifier.encoder.register_forward_hook(classified)]
    pipeline.charting.sample = charted
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()
        del pipeline.charting.sample


if __name__ == "__main__":
    main()
