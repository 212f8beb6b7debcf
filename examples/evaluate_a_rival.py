# %% [markdown]
# # Evaluate somebody else's synthetic data
#
# `tardiff evaluate` asks no generator where its records come from. Here are two rivals that sent a table each: one draws from a normal
# distribution of each class, the other copies real patients with a little noise. Before the first cell: `tardiff prepare physionet2012
# --raw physionet2012 --split by-set --out runs/p12/data`. Two cores take about two minutes.
#
# Nothing below shows a patient's row; figures are of groups.

# %%
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tardiff import Dataset
from tardiff.cli import main

real = Dataset.load(os.environ.get("P12", "runs/p12/data"))
os.chdir(tempfile.mkdtemp())  # for what is written below
real = Dataset(real.manifest, {name: split.take(slice(1200)) for name, split in real.splits.items()}).save("real")  # to be quick
names, hours = real.manifest.channel_names, real.manifest.steps
train, random = real.train, np.random.default_rng(0)
spread = np.nanstd(train.values, axis=(0, 2))


# %% [markdown]
# ## Two rivals
#
# Both chart what a real patient has charted, and know nothing of age, sex or height. Their table has names of their own, minutes, and a
# temperature in Fahrenheit.


# %%
def table(values: np.ndarray, label: np.ndarray) -> pd.DataFrame:
    """What the rival sends; values [stay, channel, hour], NaN where nothing was charted."""
    stay, channel, hour = np.nonzero(np.isfinite(values))
    sent = pd.DataFrame({"patient": stay, "minute": 60 * hour, "item": np.array(names)[channel], "result": values[stay, channel, hour]})
    warm = sent["item"] == "temperature"
    sent.loc[warm, "result"] = 1.8 * sent.loc[warm, "result"] + 32
    return sent.assign(died=label[stay])


def normal() -> np.ndarray:
    """One mean and one covariance for each class, over all channels and hours; uncharted hours count as the class's mean."""
    drawn = np.empty_like(train.values)
    for of in (train.label == c for c in (0, 1)):
        rows = train.values[of].reshape(of.sum(), -1)
        mean = np.nanmean(rows, axis=0)
        filled = np.where(np.isnan(rows), mean, rows)
        drawn[of] = random.multivariate_normal(mean, np.cov(filled.T), of.sum()).reshape(-1, len(names), hours)
    return np.where(train.mask == 1, drawn, np.nan)


def copied() -> np.ndarray:
    """Every real patient, with noise of a twentieth of each channel's standard deviation."""
    return train.values + random.normal(0, 0.05 * spread[:, None], train.values.shape)


sent = {"normal": table(normal(), train.label), "copied": table(copied(), train.label)}
sent["normal"].head(3)

# %% [markdown]
# ## From their table to ours
#
# Six columns: split, stay_id, label, hour, variable, value, in the real data's units. What lies outside the plausible limits is counted,
# not mended. Descriptors would be rows without an hour.

# %%
for name, theirs in sent.items():
    ours = pd.DataFrame(
        {
            "split": "train",
            "stay_id": theirs["patient"],
            "label": theirs["died"],
            "hour": theirs["minute"] / 60,
            "variable": theirs["item"],
            "value": theirs["result"].where(theirs["item"] != "temperature", (theirs["result"] - 32) / 1.8),
        }
    )
    ours.to_csv(f"{name}.csv", index=False)

# %% [markdown]
# ## Evaluate and report
#
# `--quick` fits trees and logistic regression three times; leave it out for all judges and seeds.

# %%
sets = [part for name in sent for part in ("--synthetic", f"{name}={name}.csv")]
main(["evaluate", "--real", "real", *sets, "--quick", "--out", "evaluation"])
main(["report", "evaluation", "--out", "report.html"])

# %% [markdown]
# ## Utility is not enough
#
# Models that learn from either table do as well as from real patients, and trees tell either from real records at a glance: neither has
# descriptors, nor values on the grids on which they are charted. What sets the two apart is privacy: every copy is nearer to its patient
# than to any stranger.

# %%
result = json.loads(Path("evaluation/metrics.json").read_text())
cells = {(cell["protocol"], cell["synthetic"], cell["model"]): cell["metrics"]["auprc"] for cell in result["utility"]["cells"]}
rows = {}
for name in sent:
    privacy = result["privacy"]["sets"][name]
    rows[name] = {
        "AUPRC of trees, real rows": cells["TRTR", None, "trees"]["value"],
        "AUPRC of trees, these rows": cells["TSTR", name, "trees"]["value"],
        "told from real rows (AUROC)": result["fidelity"]["sets"][name]["told_apart_trees"]["value"],
        "nearer to a training row than to a stranger": privacy["nearer_train"]["value"],
        "near copies": privacy["near_copies"]["value"],
    }
print(pd.DataFrame(rows).round(3).to_string())

# %% [markdown]
# ## What it says
#
# Read privacy before utility. `report.html` begins with both in five sentences. The attack of those who also have the generator needs
# `--run`, and a rival's generator is not there: a table alone shows less than its owner could give away.
