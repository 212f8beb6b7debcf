"""Fewer reverse steps: how well models tell the records from real training rows, what judges learn from them, and processor time.

Charts, descriptors and noise are the same in every row of the table; validation rows judge, and no test row is read.

    python -m experiments.benchmarks.steps DATA RUN --out experiments/benchmarks/steps.json
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset
from tardiff.evaluate.fidelity import draw_samples
from tardiff.evaluate.judges import Rows, fit_judge
from tardiff.evaluate.metrics import auprc, positive_score
from tardiff.evaluate.realism import discriminate
from tardiff.model.pipeline import Samples, TarDiffPipeline
from tardiff.settings import EvaluateSettings, SamplerSettings

STEPS = (20, 12, 8)
JUDGES = ("trees", "logistic")
SEEDS = 3


def main() -> None:
    """Draw and judge every way, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data set folder with a validation split")
    parser.add_argument("run", type=Path, help="pipeline folder that was trained on it")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, pipeline = Dataset.load(options.data), TarDiffPipeline.from_pretrained(options.run)
    first: Samples | None = None
    found = []
    for steps in STEPS:
        for eta in (1.0, 0.0):
            line, first = judged(data, pipeline, SamplerSettings(steps=steps, eta=eta), first)
            found.append(line)
            print("  ".join(f"{name} {number}" for name, number in line.items()), flush=True)
    write_json(options.out, {"data": data.manifest.source, "rows": len(data.train), "ways": found})


def judged(data: Dataset, pipeline: TarDiffPipeline, sampler: SamplerSettings, like: Samples | None) -> tuple[dict[str, Any], Samples]:
    """Figures of one way, and what it drew.

    Args:
        data: what the pipeline was trained on.
        pipeline: the generator.
        sampler: the way.
        like: samples of the same labels and seeds, whose charts and descriptors are taken.
    """
    label, validation = data.train.label, data.split("validation")
    start = time.process_time()
    samples = pipeline(label, row_seeds(0, range(len(label))), sampler, like=like)
    seconds = time.process_time() - start
    made = pipeline.dataset(samples, {}).train
    drawn = draw_samples({"train": data.train, "synthetic/made": made}, 0)
    apart = discriminate(drawn, EvaluateSettings(models=("trees",), seeds=1, workers=1)).distances["synthetic/made"]
    learn, ask = Rows.of(made, pipeline.codec), Rows.of(validation, pipeline.codec)
    plain = np.ones((1, len(ask)), np.float32)
    worth = {
        judge: round(float(np.mean([auprc(ask.label, positive_score(fit_judge(judge, learn, s)(ask)), plain)[0] for s in range(SEEDS)])), 4)
        for judge in JUDGES
    }
    told = {name.removeprefix("told_apart_"): round(float(np.mean(distance.overall[0])), 3) for name, distance in apart.items()}
    alone = {f"{judge} TSTR": number for judge, number in worth.items()}
    return {"steps": sampler.steps, "eta": sampler.eta, **told, **alone, "seconds": round(seconds)}, samples


if __name__ == "__main__":
    main()
