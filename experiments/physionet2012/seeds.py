"""Guided minus unguided over sampling seeds, from an evaluation of unguided-0, guided-0, unguided-1, ...

usage: python -m experiments.physionet2012.seeds METRICS.json
"""

import json
import sys
from pathlib import Path

import numpy as np

from tardiff.evaluate.lookup import cell


def main(path: str) -> None:
    """Print a line for each judge, protocol and metric: both means, and the mean difference with its standard error."""
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
                error = difference.std(ddof=1) / np.sqrt(len(seeds))
                means = " | ".join(f"{v.mean():.3f}" for v in values.values())
                print(f"| {model} | {text} | {metric.upper()} | {means} | {difference.mean():+.3f} ({error:.3f}) |")


if __name__ == "__main__":
    main(sys.argv[1])
