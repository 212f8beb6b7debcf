# %% [markdown]
# # A generator that travels to another hospital
#
# Hospital A has many patients and sends a generator and a classifier, no record. Hospital B has few labelled stays. The task is sepsis
# later in the stay, from seven vital signs of the first twelve hours; the records are those of the open [PhysioNet/CinC Challenge
# 2019](https://physionet.org/content/challenge-2019/), whose archives stand in `challenge-2019`. Two cores take about three minutes,
# because the generator is small and reads a part of A.
#
# Nothing below shows a patient's row; figures are of groups.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from data_prep import PrepareSettings, prepare
from tardiff import AdaptSettings, ClassifierSettings, Dataset, GuidanceSettings, TrainSettings, adapt, fit_classifier, synthesise, train
from tardiff.compare.run import Sent, compare
from tardiff.compare.table import table
from tardiff.model.adaptation import NotBetterError
from tardiff.settings import CompareSettings, SiteSettings

RAW, WORK = os.environ.get("SITES", "challenge-2019"), Path(tempfile.mkdtemp())
A_STAYS, LOCAL, SYNTHETIC = 3000, 300, 600

# %% [markdown]
# ## Two hospitals


# %%
def hospital(name: str, split: str, test_after: int | None = None) -> Dataset:
    """Its records; of the training and validation rows as many as the example has time for."""
    settings = PrepareSettings(
        "physionet2019", raw=RAW, out=WORK / name, sets=name, task="sepsis_later", hours=12, split=split, test_after=test_after
    )
    data = prepare(settings)
    sizes = {"train": A_STAYS, "validation": A_STAYS // 4}
    return Dataset(data.manifest, {of: split.take(slice(sizes.get(of))) for of, split in data.splits.items()}).completed()


a, b = hospital("a", "random"), hospital("b", "by-id", 104000)
for name, data in (("A", a), ("B", b)):
    print(name, {of: f"{info.rows:,} stays, {info.classes[1]} with sepsis" for of, info in data.manifest.splits.items()})

# %% [markdown]
# ## What A sends
#
# The model card of the folder says what was learnt from what. It holds no record; still, its weights can tell who was learnt from
# (docs/explanation/privacy.md).

# %%
small = TrainSettings(steps=300, widths=(32, 64, 64), blocks=1, validate_every=100, ema_decay=0.98)
generator = train(a, WORK / "run", small, progress=False)
classifier = fit_classifier(a, ClassifierSettings("summary"))
print((WORK / "run" / "README.md").read_text().split("## Uses")[0])

# %% [markdown]
# ## B adapts the generator
#
# To the first 300 of its stays, without their labels: distributions of single variables, then charting and dynamics. If validation rows
# find nothing better, nothing is written.

# %%
local = Dataset(b.manifest, {"train": b.train.take(slice(LOCAL))}).completed()
try:
    adapted = adapt(generator, local, WORK / "adapted", AdaptSettings(steps=200), progress=False)
    print(pd.Series(adapted.card.adaptation).to_string())
except NotBetterError as nothing:
    adapted = generator
    print(nothing)

# %% [markdown]
# Hourly means of B's other stays, of the generator as it came, and of the adapted one. Hardly anything is charted in the first hour.

# %%
unguided = GuidanceSettings(guidance="none")
drawn = {
    name: synthesise(of, SYNTHETIC, guidance=unguided, progress=False).dataset
    for name, of in (("as it came", generator), ("adapted", adapted))
}
shown = {"B": b.split("test"), **{name: data.train for name, data in drawn.items()}}
figure, axes = plt.subplots(2, 4, figsize=(12, 5), layout="constrained")
for channel, (name, place) in enumerate(zip(b.manifest.channel_names, axes.flat, strict=False)):
    for of, colour in zip(shown, ("#000000", "#D55E00", "#0072B2"), strict=True):
        rows = pd.DataFrame(shown[of].values[:, channel])
        place.plot(rows.mean(), color=colour, label=of)
    place.set(title=name, xlabel="hour")
axes.flat[0].legend(fontsize=8)
axes.flat[-1].axis("off")
plt.show()

# %% [markdown]
# ## Which of them is worth it here?
#
# The other hospital's classifier costs nothing to try. The ladder puts it next to local rows and to rows of the generator; B's other
# patients judge. One seed and logistic regression here; leave both out for an answer.

# %%
settings = CompareSettings(
    "logistic", "local,as-is,recalibrated,unguided,classifier-free,adapted", seeds=1, ratios=(0.5, 1.0), bootstrap=200
)
result = compare(b, WORK / "ladder", settings, sent=Sent(generator, classifier), sites=SiteSettings(local=LOCAL, rows=SYNTHETIC))
print(table(result))

# %% [markdown]
# ## What it says
#
# One seed has no intervals (`[too few]`), so the table shows the way and answers nothing. With three seeds or more, look at `as-is` and
# `recalibrated` first: if they do as well as the rest, no synthetic row is needed. An interval that holds 0 says that nothing is won or
# lost for sure. `tardiff compare DATA --from RUN --from-classifier CLF` does the same from the terminal, with five seeds.
