"""The model card of a pipeline folder: README.md in Hugging Face's format (https://huggingface.co/docs/hub/model-cards).

It says what the generator learnt from and how, what it is for and what not. It holds counts and hashes, no patient's record.
"""

from collections.abc import Mapping
from typing import Any

from tardiff.base.markdown import BEGIN, END, escaped, lines, versioned
from tardiff.data.codec import Codec
from tardiff.model.card import Card

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
metrics:
- roc_auc
- average_precision
---

# Synthetic {task} records after {source}

## Model Details

- **Description:** draws synthetic intensive-care time series: values, which of them were observed, and the patient's descriptors,
  {conditioning}.
- **Model type:** diffusion; a temporal U-Net for values, an autoregressive network for what is charted. diffusers' layout, safetensors
  and JSON only.
- **Developed by, shared by, contact:** write it here.
- **License:** to be chosen; the terms under which the data were given apply to what was learnt from them.
- **Made with:** [tardiff](https://arxiv.org/abs/2504.17613), whose paper is to be cited.

## Uses

### Direct Use

Research and teaching: trying methods where real records cannot be shown.

### Downstream Use

Adding synthetic records to the training set of a model of this task (`tardiff augment`), adapting to another hospital (`tardiff adapt`),
refining by rewards (`tardiff refine`). Judge every model on real patients.

### Out-of-Scope Use

Decisions about any patient; evidence about the course of a disease; anything outside of the window, the channels and the task below.

## Bias, Risks, and Limitations

* Samples are not anonymous by construction, and the weights less so: attacks on them can tell training patients from strangers.
* The label of a sample is what it was conditioned on, not an outcome that anybody observed.
* It knows the patients, units and habits of measuring of its source, with their gaps and their bias; groups that are rare there are
  drawn badly.

### Recommendations

Measure what samples give away, and what they are worth to each group of patients, before you share any (`tardiff evaluate`).

## How to Get Started with the Model

```sh
tardiff sample RUN --guidance none --n 1000 --out synthetic
tardiff sample RUN --classifier CLASSIFIER --n 1000 --out guided
```

```python
from tardiff import GuidanceSettings, TarDiffPipeline, synthesise

pipeline = TarDiffPipeline.from_pretrained("RUN")
synthesise(pipeline, 1000, guidance=GuidanceSettings(guidance="none")).dataset.save("synthetic")
```

## Training Details

### Training Data

| | |
|---|---|
| source | {origin} |
| task | {task}: {rule} |
| {counted} | {counts} |
| channels | {channels} |
| grid | {steps} steps of {step_hours:g} h |
| content hash{hashed} | `{hash}` |

The folder holds no patient's record. It does hold statistics of the {counted} (quantiles of every variable, in `codec.json`).

{privacy}

### Training Procedure

Values become normal scores by the quantiles of the {counted}; what is charted, and on which grid of values, is learnt apart.

| setting | value |
|---|---|
{settings}

### Losses

| {loss_head} |
|{loss_rule}
{losses}
{adaptation}{refinement}
## Evaluation

{begin}
{evaluation}
{end}

## Environmental Impact

{read}Hours and hardware are not recorded, so that the same training writes the same card; add them here, and
[estimate](https://mlco2.github.io/impact#compute) the carbon emitted.
"""

ADAPTED = """It learnt elsewhere, with the settings and losses above, and was then adapted to the training data above (`tardiff adapt`).
`label_effect` says whose effect of the label it has: without enough local rows to tell another, that of the first source."""
REFINED = """The weights are not those that the settings and losses above led to: rewards have refined them (`tardiff refine`;
`refinement.png` shows how)."""


def model_card(card: Card, codec: Codec) -> str:
    """README.md of a pipeline folder, the same bytes for the same training."""
    labelled, private = len(card.task.classes) > 1, bool(card.privacy)
    losses = list(dict.fromkeys(name for entry in card.history for name in entry))
    return TEXT.format(
        task=escaped(card.task.name.replace("_", " ")),
        rule=escaped(card.task.rule),
        source=escaped(card.source),
        origin=escaped(versioned(card.source, card.source_version)),
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
        adaptation=_after("Adaptation", ADAPTED, card.adaptation),
        refinement=_after("Refinement", REFINED, card.refinement),
        evaluation=UNEVALUATED,
        read=_read(card.settings),
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


def _read(settings: Mapping[str, Any]) -> str:
    """How many rows training read, where it went by steps of so many."""
    steps, batch = settings.get("steps"), settings.get("batch_size")
    return f"Training read {steps * batch:,} rows ({batch:,} in each of {steps:,} steps).\n" if steps and batch else ""


def _after(title: str, told: str, facts: Mapping[str, Any]) -> str:
    """A part of its own, because the settings and losses above it are those of the generator that it began from."""
    return f"\n### {title}\n\n{told}\n\n| | |\n|---|---|\n{lines(sorted(facts.items()))}\n" if facts else ""
