"""Make the figure of the page on guidance, and the picture of the README, from `examples/influence_in_150_lines.py`.

python docs/figures/guidance.py
"""

import base64
import json
import runpy
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
POINTS, EDGE = 100, 3.2
STRENGTHS, WINDOWS = (0.1, 0.3, 1.0), (0.4, 1.0)


def main(page: Path, picture: Path) -> None:
    """Run the example and write both."""
    plt.show = lambda: plt.savefig(picture, dpi=90)
    example = runpy.run_path(str(ROOT / "examples" / "influence_in_150_lines.py"))
    label = torch.arange(POINTS) % 2
    ways: dict[str, str] = {}
    for name, options in example["guides"].items():
        for window in WINDOWS:
            for strength in STRENGTHS:
                ways[f"{name}|{window}|{strength}"] = coded(moved(example, label, options, window, strength))
    data = {
        "guides": list(example["guides"]),
        "ways": ways,
        "points": POINTS,
        "edge": EDGE,
        "real": coded(example["x"]),
        "classes": example["y"].tolist(),
        "strengths": STRENGTHS,
        "windows": WINDOWS,
    }
    template = (Path(__file__).parent / "guidance.html").read_text()
    page.write_text(template.replace("/*DATA*/", json.dumps(data, separators=(",", ":"))))


def moved(example: dict[str, Any], label: Tensor, options: dict[str, Any], window: float, strength: float) -> Tensor:
    """The samples at every step, [steps + 1, points, 2]. Classifier-free guidance has a scale in place of a strength: 2 stands at 0.3."""
    if "cfg_scale" in options:
        options = {"cfg_scale": 1 + strength / 0.3}
    return torch.stack(example["sample"](label, window=window, strength=strength, **options)[1])


def coded(points: Tensor) -> str:
    """Points as signed bytes in base64; the edge of the picture is 127."""
    return base64.b64encode((points.clamp(-EDGE, EDGE) / EDGE * 127).round().to(torch.int8).numpy().tobytes()).decode()


if __name__ == "__main__":
    main(ROOT / "docs" / "explanation" / "guidance-figure.html", ROOT / "docs" / "assets" / "guidance.png")
