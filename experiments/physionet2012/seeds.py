"""Guided minus unguided over sampling seeds, from an evaluation of unguided-0, guided-0, unguided-1, ...

usage: python -m experiments.physionet2012.seeds METRICS.json
"""

import json
import sys
from pathlib import Path

import numpy as np

from tardiff.base.estimates import shown
from tardiff.evaluate.intervals import interval
from tardiff.evaluate.lookup import cell


def main(path: str) -> None:
    """Print a line for each judge, protocol and metric: both means, and the mean difference with its 95 % interval over seeds."""
    result = json.loads(Path(path).read_text())
    seeds = sorted(name.removeprefix("guided-") for name in result["synthetic"] if name.startswith("guided-"))
    print(f"{len(seeds)} sampling seeds\n")
    print("| judge | trained on | metric | unguided | guided | guided - unguided |")
    print("|---|---|---|---|---|---|")
    for model in result["settings"]["models"]:
        for protocol, ratio, text in (("TSTR", None, "synthetic"), ("TSRTR", 1.0, "real + synthetic")):
            for metric in ("auprc", "auroc"):
                values = {
                    kind: np.array([cell(result, model, protocol, f"{kind}-{s}", ratio)["metrics"][metric]["value"] for s in seeds])
                    for kind in ("unguided", "guided")
                }
                difference = values["guided"] - values["unguided"]
                means = " | ".join(f"{v.mean():.3f}" for v in values.values())
                print(f"| {model} | {text} | {metric.upper()} | {means} | {shown(*interval(difference[None]), signed=True)} |")


if __name__ == "__main__":
    main(sys.argv[1])
