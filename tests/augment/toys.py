"""Small records and a generator so small that it learns nothing: what is tested is what flows where."""

import numpy as np
from torch import nn
from torch.nn import functional as F

from tardiff.augment import TarDiffSampler
from tardiff.settings import SamplerSettings, TrainSettings

TINY = TrainSettings(steps=3, batch_size=8, widths=(8,), blocks=1, ema_decay=0.9, validate_every=1000)
FAST = {"training": TINY, "sampler": SamplerSettings(steps=3), "epochs": 1, "random_state": 3}


def sampler(**options):
    return TarDiffSampler(**{**FAST, "model": "summary", **options})


def records(rows=60, share=0.2, channels=3, steps=6, seed=0):
    rng = np.random.default_rng(seed)
    y = (np.arange(rows) < round(share * rows)).astype(np.int64)
    X = rng.normal(size=(rows, channels, steps)) + y[:, None, None]
    X[rng.random(X.shape) < 0.2] = np.nan
    order = rng.permutation(rows)
    return X[order], y[order]


class OwnNetwork(nn.Module):
    """A user's module with the task interface and nothing else."""

    def __init__(self, channels=6, classes=2):
        super().__init__()
        self.body = nn.Linear(channels, 8)
        self.head = nn.Linear(8, classes)

    def embedding(self, seen):
        return self.body(seen.mean(-1)).relu()

    def logits(self, seen):
        return self.head(self.embedding(seen))

    def loss(self, seen, label):
        return F.cross_entropy(self.logits(seen), label, reduction="none")
