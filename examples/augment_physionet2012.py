# %% [markdown]
# # From a long table to an augmented classifier
#
# Deaths in hospital are rare, so a classifier of death has few to learn from. Here is a table of the open PhysioNet 2012 records
# (stay, hour, variable, value); trees learn from it as it is, with class weights, with SMOTE, and with synthetic records of
# `TarDiffSampler`.
# Before the first cell: `pip install 'tardiff[augment]'`, and
# `tardiff prepare physionet2012 --raw physionet2012 --split by-set --out runs/p12/data`. Two cores take a few minutes.
#
# Nothing below shows a patient's row; figures are of groups.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from sklearn.ensemble import HistGradientBoostingClassifier

from tardiff import Dataset
from tardiff.augment import RecordSummary, TarDiffSampler
from tardiff.base.estimates import interval
from tardiff.evaluate.bootstrap import Resamples, row_weights
from tardiff.evaluate.intervals import estimate
from tardiff.evaluate.metrics import auprc

DATA = os.environ.get("P12", "runs/p12/data")
DEATHS, SEED = 55, 0

# %% [markdown]
# ## The table
#
# `Dataset.frame()` is what `tardiff export` writes. To see a rare outcome, all survivors of the training split stay and 55 deaths,
# two in a hundred; the judges are the validation stays as they are.

# %%
data = Dataset.load(DATA)
table = data.frame().query("hour == hour")  # measurements; descriptors have no hour
train = table[table["split"] == "train"]
dead = train.loc[train["label"] == 1, "stay_id"].unique()
train = train[~train["stay_id"].isin(dead[DEATHS:])]
judges = table[table["split"] == "validation"]
print(f"{len(train):,} measurements of {train['stay_id'].nunique():,} stays, {train['variable'].nunique()} variables")
print(train.groupby("stay_id")["label"].first().value_counts(normalize=True).rename({0: "survived", 1: "died"}).round(3))


# %% [markdown]
# ## Synthetic stays
#
# As many deaths as the classes lack to balance, and as many survivors: with deaths alone a model would learn what a synthetic stay looks
# like. The generator and a committee of classifiers that guides it learn from these stays alone; guidance stops where samples are as
# typical of their outcome as real stays, and here that is before it begins.

# %%
survivors, deaths = train.groupby("stay_id")["label"].first().value_counts().sort_index()
lacking = survivors - deaths
sampler = TarDiffSampler(sampling_strategy={0: survivors + lacking, 1: survivors}, random_state=SEED)
augmented, label = sampler.fit_resample(train)
print(f"{int(sampler.synthetic_.sum()):,} synthetic stays, half of them deaths; guidance moved values by {sampler.movement_.value:.3f} sd")

# %% [markdown]
# ## Do they look like stays?
#
# Hourly means of real and synthetic stays, by outcome.

# %%
synthetic = set(label.index[sampler.synthetic_])
died = augmented["label"] == 1
kind = np.where(
    augmented["stay_id"].isin(synthetic),
    np.where(died, "synthetic death", "synthetic survivor"),
    np.where(died, "real death", "real survivor"),
)
means = augmented.assign(kind=kind).groupby(["variable", "kind", "hour"])["value"].mean()
variables = sorted(augmented["variable"].unique())
colours = {"real survivor": "#0072B2", "synthetic survivor": "#56B4E9", "real death": "#D55E00", "synthetic death": "#E69F00"}
figure, axes = plt.subplots(2, 4, figsize=(12, 5), layout="constrained")
for place, variable in zip(axes.flat, variables, strict=False):
    for name, colour in colours.items():
        means[variable][name].plot(ax=place, color=colour, label=name)
    place.set(title=variable, xlabel="hour")
for place in axes.flat[len(variables) :]:
    place.axis("off")
axes.flat[0].legend(fontsize=8)
plt.show()


# %% [markdown]
# ## Are they worth anything?
#
# Trees on seven summaries a variable, on real validation stays; intervals over stays (1,000 resamples, the same for each way).


# %%
def records(long: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """[stays, variables, hours] and labels."""
    stays, stay = np.unique(long["stay_id"], return_inverse=True)
    X = np.full((len(stays), len(variables), data.manifest.steps), np.nan)
    X[stay, np.searchsorted(variables, long["variable"].astype(str)), long["hour"].astype(int)] = long["value"]
    return X, long.groupby("stay_id")["label"].first().to_numpy().astype(int)


(X, y), (X_more, y_more), (X_judge, y_judge) = (records(part) for part in (train, augmented, judges))
summaries = RecordSummary().fit(X)
plain, more, judge = (summaries.transform(part) for part in (X, X_more, X_judge))
ways = {
    "as it is": (plain, y, None),
    "class weights": (plain, y, "balanced"),
    "SMOTE": (*SMOTE(random_state=SEED).fit_resample(plain, y), None),
    "TarDiffSampler": (more, y_more, None),
}
resamples = Resamples(row_weights(len(y_judge), 1000, np.random.default_rng(SEED)))
draws = {}
for name, (features, target, weight) in ways.items():
    fits = [
        HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=60, max_leaf_nodes=15, max_features=0.5, class_weight=weight, random_state=k
        )
        for k in range(3)
    ]
    scores = np.stack([fit.fit(features, target).predict_proba(judge)[:, 1] for fit in fits])
    draws[name] = resamples.by_fit(auprc, y_judge, scores)
rows = {name: estimate(d, len(y_judge)) | {"gain": estimate(d - draws["as it is"], len(y_judge))} for name, d in draws.items()}
print(pd.DataFrame({name: {"AUPRC": interval(row), "gained": interval(row["gain"], signed=True)} for name, row in rows.items()}).T)

# %%
figure, axes = plt.subplots(figsize=(7, 2.2), layout="constrained")
axes.axvline(0, color="#555555", linestyle=":", linewidth=0.8)
for place, row in enumerate(list(rows.values())[1:]):
    axes.plot((row["gain"]["low"], row["gain"]["high"]), (place, place), color="#0072B2")
    axes.plot(row["gain"]["value"], place, "o", color="#0072B2")
axes.set_yticks(range(len(rows) - 1), list(rows)[1:])
axes.invert_yaxis()
axes.set_xlabel("AUPRC gained over the table as it is (95 % interval over stays)")
plt.show()

# %% [markdown]
# ## What it says
#
# An interval that holds 0 says that nothing is won or lost for sure, and one generator, one draw of 55 deaths and 109 deaths that judge
# are a first look only. `tardiff compare` repeats all of it over seeds, lets validation rows choose how many rows to add, and judges
# on test rows: for these records over five seeds, trees and 2 % deaths, version 0.1 had +.037 [.012, .062] (experiments/version-0.1.md).
