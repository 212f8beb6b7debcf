"""The data card of a synthetic data set: README.md with Hugging Face's fields (https://huggingface.co/docs/hub/datasets-cards)."""

import json
from typing import TYPE_CHECKING

import numpy as np

from tardiff.base.markdown import BEGIN, END, escaped, flat, lines, versioned

if TYPE_CHECKING:
    from tardiff.data.dataset import Dataset

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
TEXT = """---
# license: choose one that the terms of the source data allow
pretty_name: {title}
annotations_creators:
- machine-generated
size_categories:
- {size}
tags:
- synthetic-data
- electronic-health-records
- time-series
- tardiff
---

# Synthetic {task} records after {source}

{rows:,} made-up intensive-care stays, drawn by a model that learnt from real ones: values, what was charted when, descriptors, and a label.
No row is a patient.

## Dataset Details

- **Curated by, shared by, contact:** write it here.
- **License:** to be chosen; the terms of {source} apply to what was learnt from it.
- **Made with:** [tardiff](https://arxiv.org/abs/2504.17613).

## Uses

### Direct Use

Adding rows to the training set of a model of this task; trying or teaching methods where real records cannot be shown.

### Out-of-Scope Use

Decisions about a patient; evidence about a disease, a treatment or a hospital; judging a model, which takes real patients.

## Dataset Structure

`manifest.json`, and `train.safetensors` with arrays [stay, channel, step]: {steps} steps of {step_hours:g} h, in the units below, NaN where
nothing was observed. `tardiff export` writes one long table.

| class | rows |
|---|---|
{classes}

| channel | unit | range | observed |
|---|---|---|---|
{channels}

| descriptor | unit or categories | known |
|---|---|---|
{statics}

## Dataset Creation

### Source Data

{origin}; `generator` below is the content hash of the rows that the generator learnt from. Its model card describes them.

### Generation

| setting | value |
|---|---|
{settings}

### Annotations

Nobody observed a label. It is what a record was conditioned on, or (`relabel`) what a classifier made of it. Task: {rule}.

## Bias, Risks, and Limitations

The records have the source's patients, units and habits of measuring, with their gaps and bias. Groups that are rare there are drawn badly.
Guided records (`guidance`) are clearer cases than real ones: recalibrate a model that learnt from them.

### Privacy Considerations

Synthetic is not anonymous: records can be near copies of training patients and tell who was among them. A privacy budget (`epsilon`) covers
the generator's weights only, not a guide, labels by a classifier, or a filter. The attacks below say what was found, if any was tried.

### Recommendations

Evaluate before you share (`tardiff evaluate`), by the groups of patients that matter to you. Treat the records as patients' until then.

## Evaluation

{begin}
Not evaluated yet. `tardiff report EVALUATION --card FOLDER` writes an evaluation's numbers here.
{end}
"""


def data_card(data: "Dataset") -> str:
    """README.md of a synthetic data set.

    Args:
        data: it, with its manifest completed.
    """
    manifest, train = data.manifest, data.train
    task, source = escaped(manifest.task.name.replace("_", " ")), escaped(manifest.source)
    observed, known = train.mask.mean(axis=(0, 2)), np.isfinite(train.static).mean(axis=0)
    return TEXT.format(
        title=json.dumps(f"Synthetic {task} records after {source}"),
        task=task,
        source=source,
        origin=escaped(versioned(manifest.source, manifest.source_version)),
        rule=escaped(manifest.task.rule),
        size=next((name for most, name in SIZES.items() if len(train) < most), "n>10M"),
        rows=len(train),
        steps=manifest.steps,
        step_hours=manifest.step_hours,
        classes=lines((name, f"{n:,}") for name, n in zip(manifest.task.classes, manifest.splits["train"].classes, strict=True)),
        channels=lines(
            (c.name, c.unit, f"{c.limits[0]:g} to {c.limits[1]:g}", f"{share:.1%}")
            for c, share in zip(manifest.channels, observed, strict=True)
        ),
        statics=lines((s.name, s.categories or s.unit, f"{share:.1%}") for s, share in zip(manifest.statics, known, strict=True)),
        settings=lines(flat(manifest.settings)),
        begin=BEGIN,
        end=END,
    )
