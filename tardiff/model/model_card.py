"""The model card of a pipeline folder: README.md in Hugging Face's format (https://huggingface.co/docs/hub/model-cards).

It says what the generator learnt from and how, what it is for and what not. It holds counts and hashes, no patient's record.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tardiff.data.codec import Codec
from tardiff.model.card import Card

NAME = "README.md"
BEGIN, END = "<!-- evaluation -->", "<!-- end of evaluation -->"
UNEVALUATED = """Not evaluated yet. `tardiff report EVALUATION --card RUN` writes an evaluation's numbers here.

Membership inference: not measured."""

TEXT = """---
# license: choose one that the terms of the training data allow
library_name: tardiff
tags:
- tardiff
- diffusion
- synthetic-data
- electronic-health-records
- time-series
---

# Synthetic {task} records after {source}

A temporal U-Net that draws synthetic intensive-care time series by diffusion: values, which of them were observed, and the
patient's descriptors, {conditioning}. Made with [tardiff](https://arxiv.org/abs/2504.17613); diffusers' layout, safetensors and JSON only.

## Training data

| | |
|---|---|
| source | {source} {version} |
| task | {task}: {rule} |
| {counted} | {counts} |
| channels | {channels} |
| grid | {steps} steps of {step_hours:g} h |
| content hash{hashed} | `{hash}` |

The folder holds no patient's record. It does hold statistics of the {counted} (quantiles of every variable, in `codec.json`), and
the terms under which the data were given apply to what was learnt from them.

{privacy}

## Settings

| setting | value |
|---|---|
{settings}

## Losses

| {loss_head} |
|{loss_rule}
{losses}
{adaptation}{refinement}
## Intended use

Research and teaching: adding synthetic records to the training set of a model of this task, or trying methods where real records
cannot be shown. Judge every model on real patients.

## Limits and out-of-scope use

* Not for decisions about any patient, and no evidence about the course of a disease.
* Samples are not anonymous by construction. Measure what they give away (`tardiff evaluate`) before you share any.
* The label of a sample is what it was conditioned on, not an outcome that anybody observed.
* It knows the patients, units and habits of measuring of its source, with their gaps and their bias; groups that are rare there are
  drawn badly.
* Nothing outside of the window, the channels and the task above.

## How to sample

```sh
tardiff sample RUN --guidance none --n 1000 --out synthetic
tardiff sample RUN --classifier CLASSIFIER --n 1000 --out guided
```

```python
from tardiff import GuidanceSettings, TarDiffPipeline, synthesise

pipeline = TarDiffPipeline.from_pretrained("RUN")
synthesise(pipeline, 1000, guidance=GuidanceSettings(guidance="none")).dataset.save("synthetic")
```

## Evaluation

{begin}
{evaluation}
{end}
"""


def model_card(card: Card, codec: Codec) -> str:
    """README.md of a pipeline folder, the same bytes for the same training.

    Args:
        card: what the folder remembers of its training.
        codec: the space in which it draws.
    """
    labelled, private = len(card.task.classes) > 1, bool(card.privacy)
    losses = list(dict.fromkeys(name for entry in card.history for name in entry))
    return TEXT.format(
        task=escaped(card.task.name.replace("_", " ")),
        rule=escaped(card.task.rule),
        source=escaped(card.source),
        version=escaped(card.source_version),
        conditioning="for a label that is chosen" if labelled else "without labels: a guide gives its samples theirs",
        counts=escaped(", ".join(f"{n:,} {name}" for n, name in zip(card.class_counts, card.task.classes, strict=True))),
        channels=escaped(", ".join(f"{c.name} ({c.unit})" if c.unit else c.name for c in codec.channels)),
        steps=codec.steps,
        step_hours=card.step_hours,
        counted="validation rows" if private else "training rows",
        hash=card.data_hash,
        hashed=" without training rows" if private else "",
        privacy=_privacy(card.privacy),
        settings=lines(sorted(card.settings.items())),
        loss_head=" | ".join(name.replace("_", " ") for name in losses),
        loss_rule="---|" * len(losses),
        losses=lines([[f"{entry[n]:.4g}" if n in entry else "" for n in losses] for entry in card.history]),
        adaptation=_adaptation(card.adaptation),
        refinement=_refinement(card.refinement),
        evaluation=UNEVALUATED,
        begin=BEGIN,
        end=END,
    )


def _privacy(facts: Mapping[str, float]) -> str:
    if not facts:
        return "It was trained without differential privacy."
    return (
        f"The weights of both networks were trained by DP-SGD: epsilon {facts['epsilon']:g} at delta {facts['delta']:g} for each stay "
        f"(noise multiplier {facts['noise_multiplier']:g}, sampling rate {facts['sample_rate']:g}, gradients clipped to "
        f"{facts['gradient_clip']:g}, Renyi accountant). Nothing else in this folder, as `tardiff train` wrote it, is of training rows. "
        "**Public by declaration**: the settings and the data dictionary (channels, units, limits, categories), the number of training "
        "rows (the batch size over the sampling rate), and the validation rows, which are not protected: their quantiles, grids and "
        "symbol shares (`codec.json`, `charting/config.json`), descriptors (`statics.json`), class counts, losses and hash stand here. "
        "**Not covered**: further stays of one patient, which add up; any classifier that guides, its guidance directions, and samples "
        "that it has steered, labelled or chosen; the discriminator, rewards and checks of a refinement; samples that passed a privacy "
        "filter; numbers of an evaluation, below too; that a training stopped because gradients were not finite; choices made by looking "
        "at the data; noise drawn in floating point by a generator that is not a cryptographic one."
    )


def _adaptation(facts: Mapping[str, Any]) -> str:
    """A part of its own, for the settings and losses above it are of the generator that was adapted."""
    if not facts:
        return ""
    return f"""
## Adaptation

It learnt elsewhere, with the settings and losses above, and was then adapted to the training data above (`tardiff adapt`).
`label_effect` says whose effect of the label it has: without enough local rows to tell another, that of the first source.

| | |
|---|---|
{lines(sorted(facts.items()))}
"""


def _refinement(facts: Mapping[str, Any]) -> str:
    """A part of its own, for the settings and losses above it are the base's."""
    if not facts:
        return ""
    return f"""
## Refinement

The weights are not those that the settings and losses above led to: rewards have refined them (`tardiff refine`; `refinement.png`
shows how).

| setting | value |
|---|---|
{lines(sorted(facts.items()))}
"""


def lines(rows: Iterable[Iterable[Any]]) -> str:
    """Lines of a Markdown table."""
    return "\n".join("| " + " | ".join(map(escaped, row)) + " |" for row in rows)


def escaped(value: Any) -> str:
    """Text that cannot end a cell, a line or become markup."""
    words = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return " ".join(words.replace("|", "\\|").replace("<", "&lt;").split())
