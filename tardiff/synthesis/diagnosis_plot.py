"""The picture of a diagnosis: what the guide did, whether its influence is real, and what trace it left."""

import numpy as np
from matplotlib.figure import Figure

from tardiff.synthesis.diagnosis import Diagnosis


def picture(diagnosis: Diagnosis) -> Figure:
    """All three looks side by side."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    over_steps, scatter, traces = figure.subplots(1, 3)
    index = [record["step"] + 1 for record in diagnosis.steps]
    for key, text in (("ratio", "change / update"), ("cosine", "cosine to the step before")):
        over_steps.plot(index, [record[key] for record in diagnosis.steps], marker="o", markersize=3, label=text)
    over_steps.set(title="What the guide did", xlabel="reverse step (1 = pure noise)", ylim=(-0.05, 1.05))
    over_steps.legend(frameon=False)
    if not any(record["change"] for record in diagnosis.steps):
        text = "no gradient was followed (strength 0);\nclassifier-free guidance, which works inside\nthe denoiser, is not shown here"
        over_steps.text(0.5, 0.5, text, ha="center", va="center", transform=over_steps.transAxes)
    scatter.axhline(0, color="0.85", linewidth=1)
    scatter.axvline(0, color="0.85", linewidth=1)
    scatter.scatter(diagnosis.agreement.predicted, diagnosis.agreement.realised, s=12, alpha=0.7)
    title = f"Influence on the guidance loss: Spearman {diagnosis.agreement.spearman[0]:.2f}"
    scatter.set(title=title, xlabel="predicted fall (last layer)", ylabel="realised fall (one step on the sample)")
    places = np.arange(len(diagnosis.traces))
    for offset, key in ((-0.15, "unguided"), (0.15, "guided")):
        value, low, high = np.array([getattr(trace, key) for trace in diagnosis.traces]).T
        traces.errorbar(places + offset, value, [value - low, high - value], fmt="o", capsize=3, label=key)
    traces.axhline(0.5, color="0.85", linewidth=1)
    traces.set_xticks(places, [trace.part.replace(" of ", "\nof ") for trace in diagnosis.traces])
    traces.set(title="How well the label can be read", ylabel="AUROC, cross-validated", xlim=(-0.6, len(places) - 0.4))
    traces.legend(frameon=False)
    for axis in (over_steps, scatter, traces):
        axis.spines[["top", "right"]].set_visible(False)
    return figure
