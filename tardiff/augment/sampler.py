"""`TarDiffSampler`: an over-sampler for records over time, in the manner of imbalanced-learn."""

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.utils import check_random_state

from tardiff.augment.containers import joined_records, joined_targets
from tardiff.augment.frames import dataset_of_frame, joined, stays_and_labels
from tardiff.augment.gate import gated
from tardiff.augment.generate import Generated, augmented, generate
from tardiff.augment.meaning import Meaning
from tardiff.augment.parameters import check_parameters
from tardiff.augment.records import checked_array, dataset_of
from tardiff.augment.targets import KEPT, Target, TargetKind, read_target
from tardiff.base.extras import needs
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import InputError
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import MAX_SEED, GuidanceSettings, SamplerSettings, TrainSettings


class TarDiffSampler(OneToOneFeatureMixin, BaseEstimator):
    """Synthetic records of rare classes, from a small diffusion model steered towards a classifier.

    X is an array [n, channels, time] (NaN is missing), a long table with the columns of `tardiff export`, a `Dataset` or its
    folder. y is labels [n], 0 and 1 [n, K], or numbers (`bins`). Everything is fitted on the rows of the call alone, so that inside
    `imblearn.pipeline.Pipeline` each fold is augmented from its own training rows.

    Args:
        sampling_strategy: as in imbalanced-learn ("auto": every class as often as the most frequent one; a ratio for two classes;
            a dict of rows after resampling by class, which may enlarge the largest class, too). Combinations of labels are named
            by tuples. Of a regression target: synthetic rows by real row ("auto" is 1), spread as the bins are; or a dict by number of bin.
        model: what the rows are to serve: None (a committee of the package's classifiers), the name of an architecture, a torch module with
            `loss(seen, label) -> [B]`, `logits`, `embedding` and a linear `head` over [B, 2 C, T] (it is trained afresh in the fold), a
            scikit-learn estimator (a stand-in that has learnt its probabilities guides), a classifier folder, or a list of these.
        features: what an estimator reads: "summary" (seven numbers a channel, without gaps) or "record" ([n, C, T] with NaN).
        guidance: which guide; None ascends the label's probability, or cosine influence on `guidance_rows`.
        guidance_rows: the rows that guidance serves (a subgroup): a mask [n], or a function of X that gives one (in a pipeline,
            where the rows change from fold to fold).
        pipeline: a generator trained elsewhere, or its folder; None trains one on the rows.
        training: settings of the generator that is trained; None follows from `budget_minutes`.
        budget_minutes: what training may take on one core; it picks the size from a table, no clock is read.
        sampler: solver and steps.
        target: "auto", "classification" or "regression".
        bins: quantile bins of a regression target, or their inner edges.
        channels: names of an array's channels; with `pipeline` they are needed, because an array does not say which is which.
        classes: the pipeline's name of each label, {label: name}; needed with `pipeline` where labels are not those names themselves.
        units: of an array's channels; None takes the pipeline's, and says so.
        step_hours: width of an array's step; None takes the pipeline's, and says so.
        epochs: most passes of a guide over the rows.
        n_jobs: guides fitted side by side.
        gate: add the rows only if they help models on held-out rows of the call by more than chance (`augment.gate`); otherwise the rows
            come back as they were, whatever `sampling_strategy` asks for. It takes seven times as long.
        random_state: seed; the same one gives the same rows.

    Attributes:
        sampling_strategy_: synthetic rows by class.
        synthetic_: which of the rows returned (of a table: stays) are synthetic, [n_resampled].
        surrogate_fit_: for an estimator, how well its stand-in follows it on held-out rows of the fold (r2, spearman); else None.
        gate_: what the gate found (`gains`, each with a value, an error and whether it commits); None without a gate.
        pipeline_, guides_, movement_: the generator, the classifiers that guided, and how far they moved the samples.
        n_features_in_, feature_names_in_: how many channels, and their names where they have some; `get_feature_names_out` gives
            them back.
    """

    def __init__(
        self,
        *,
        sampling_strategy: str | float | dict[Any, int] | Callable[..., dict[Any, int]] = "auto",
        model: Any = None,
        features: str = "summary",
        guidance: GuidanceSettings | None = None,
        guidance_rows: NDArray[np.bool_] | Callable[[Any], NDArray[np.bool_]] | None = None,
        pipeline: TarDiffPipeline | str | Path | None = None,
        training: TrainSettings | None = None,
        budget_minutes: float = 2.0,
        sampler: SamplerSettings | None = None,
        target: TargetKind = "auto",
        bins: int | Sequence[float] | None = None,
        channels: Sequence[str] | None = None,
        classes: Mapping[Any, str] | None = None,
        units: Sequence[str] | None = None,
        step_hours: float | None = None,
        epochs: int = 60,
        n_jobs: int | None = None,
        gate: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.sampling_strategy = sampling_strategy
        self.model = model
        self.features = features
        self.guidance = guidance
        self.guidance_rows = guidance_rows
        self.pipeline = pipeline
        self.training = training
        self.budget_minutes = budget_minutes
        self.sampler = sampler
        self.target = target
        self.bins = bins
        self.channels = channels
        self.classes = classes
        self.units = units
        self.step_hours = step_hours
        self.epochs = epochs
        self.n_jobs = n_jobs
        self.gate = gate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **metadata: Any) -> "TarDiffSampler":
        """Check the rows and count what would be sampled; `fit_resample` does the work."""
        self._read(X, y, metadata)
        return self

    def fit_resample(self, X: Any, y: Any = None, **metadata: Any) -> tuple[Any, Any]:
        """The rows, then synthetic ones, and their targets.

        Args:
            X: array, table, `Dataset` or folder.
            y: targets, a row each (a Series beside a table: a stay each, indexed by stay_id); None takes the table's or the data
                set's labels.
            metadata: what a pipeline hands on; there is none that synthetic rows could have.

        Returns:
            Both in the form and of the types in which they came; a table has new stay ids, and its targets are indexed by stay; a
            `Dataset`'s training split marks its synthetic rows.

        Raises:
            InputError: rows or targets that cannot be read, naming the row; metadata.
        """
        data, target = self._read(X, y, metadata)
        wanted = [(self._code(target, key), n) for key, n in self.sampling_strategy_.items()]
        label = np.repeat([c for c, _ in wanted], [n for _, n in wanted]).astype(np.int64)
        seed = self._seed()
        rows = self._rows(data, target, label, X, seed)
        label = label if len(rows) else label[:0]
        synthetic_y = target.synthetic(label, seed)
        self.synthetic_ = np.repeat([False, True], [len(target.code), len(label)])
        if isinstance(X, (str, Path, Dataset)):
            return augmented(data, rows), joined_targets(target.given, synthetic_y)
        if isinstance(X, pd.DataFrame):
            first = int(X["stay_id"].max()) + 1
            index = pd.Index([*X["stay_id"].unique(), *range(first, first + len(rows))], name="stay_id")
            return joined(X, data, rows, first, synthetic_y), joined_targets(target.given, synthetic_y, index)
        return joined_records(X, rows.values), joined_targets(target.given, synthetic_y)

    def __sklearn_tags__(self) -> Any:
        """Records have three axes and may lack values."""
        tags = super().__sklearn_tags__()
        tags.estimator_type = "sampler"
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.target_tags.required = False
        return tags

    def _read(self, X: Any, y: Any, metadata: Mapping[str, Any]) -> tuple[Dataset, Target]:
        """Data set and target; sets `sampling_strategy_` and what is known of the channels."""
        check_parameters(self)
        for name in metadata:
            raise InputError(f"{name}: synthetic rows have none; leave it out")
        named = True
        if isinstance(X, (str, Path)):
            X = Dataset.load(X)
        if isinstance(X, Dataset):
            if y is not None:
                raise InputError("y: a data set has labels of its own; give y None")
            target, data = _of_task(X), X
        elif isinstance(X, pd.DataFrame):
            stays, given = stays_and_labels(X, y)
            target = read_target(given, self.target, self.bins)
            data = dataset_of_frame(X, stays, np.maximum(target.code, 0), target.names)
        else:
            array = checked_array(X)
            target = read_target(y, self.target, self.bins)
            if len(target.code) != len(array):
                raise InputError(f"y: {len(target.code)} targets for {len(array)} rows of X")
            data = dataset_of(array, np.maximum(target.code, 0), target.names, self.channels, self.units, self.step_hours)
            named = self.channels is not None
        self.n_features_in_ = len(data.manifest.channels)
        if named:
            self.feature_names_in_ = np.array(data.manifest.channel_names, dtype=object)
        elif hasattr(self, "feature_names_in_"):  # of an earlier call
            del self.feature_names_in_
        self.sampling_strategy_ = self._counts(target)
        return data, target

    def _counts(self, target: Target) -> "OrderedDict[Any, int]":
        strategy = self.sampling_strategy
        if target.regression and not isinstance(strategy, dict):
            share = 1.0 if strategy == "auto" else strategy
            if not isinstance(share, (int, float)) or not share > 0:
                raise InputError(f"sampling_strategy {strategy!r}: of a regression target give auto, a positive number or a dict by bin")
            return OrderedDict((b, round(share * (target.code == b).sum())) for b in range(len(target.names)))
        if callable(strategy):
            strategy = strategy(target.given)  # in the user's own labels, as imbalanced-learn has it
        if isinstance(strategy, dict):
            strategy = {self._code(target, key): n for key, n in strategy.items()}
        elif not isinstance(strategy, (str, float, int)):
            raise InputError(
                f"sampling_strategy {strategy!r}: give auto, a ratio, a dict of rows by class, or a function of y that gives one"
            )
        counts = needs("imblearn.utils").check_sampling_strategy(strategy, target.code[target.code != KEPT], "over-sampling")
        return OrderedDict((target.keys[c], int(n)) for c, n in counts.items())

    @staticmethod
    def _code(target: Target, key: Any) -> int:
        if key not in target.keys:
            raise InputError(f"sampling_strategy: {key!r} is no class of y (classes: {', '.join(map(str, target.keys))})")
        return target.keys.index(key)

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(MAX_SEED))

    def _rows(self, data: Dataset, target: Target, label: NDArray[np.int64], X: Any, seed: int) -> Split:
        """The synthetic rows; none are made, and nothing is trained, if none are wanted."""
        self.surrogate_fit_ = self.movement_ = self.pipeline_ = self.gate_ = None
        self.guides_: list[Any] = []
        imitated = target.code != KEPT
        if not len(label):
            return data.train.take(slice(0, 0))
        fold = Dataset(data.manifest, {"train": data.train.take(imitated)})
        served = None if self.guidance_rows is None else self._mask(X, len(imitated))[imitated]

        def make(rows: NDArray[np.bool_], label: NDArray[np.int64], earlier: Sequence[Generated]) -> Generated:
            return generate(
                Dataset(fold.manifest, {"train": fold.train.take(rows)}),
                label,
                model=self.model,
                features=self.features,
                guidance=self.guidance,
                guidance_rows=None if served is None else served[rows],
                pipeline=self.pipeline,
                meaning=self._meaning(target, X),
                training=self.training,
                sampler=self.sampler,
                minutes=self.budget_minutes,
                epochs=self.epochs,
                seed=seed,
                n_jobs=self.n_jobs,
                earlier=earlier,
            )

        if self.gate:
            self.gate_ = gated(fold, label, make, 1, seed, progress=False)
            if not self.gate_.made:
                print(self.gate_, file=sys.stderr)
                return data.train.take(slice(0, 0))
        made = self.gate_.made[0] if self.gate_ else make(np.ones(len(fold.train), bool), label, ())
        fits = [asdict(fit) for fit in made.surrogates]
        self.surrogate_fit_ = (fits[0] if len(fits) == 1 else fits) or None
        self.pipeline_, self.guides_, self.movement_ = made.pipeline, made.guides, made.movement
        return made.rows

    def _mask(self, X: Any, rows: int) -> NDArray[np.bool_]:
        chosen = np.asarray(self.guidance_rows(X) if callable(self.guidance_rows) else self.guidance_rows)
        if chosen.dtype != bool or chosen.shape != (rows,):
            raise InputError(f"guidance_rows: give {rows} truth values, one for each row, or a function that does")
        return chosen

    def _meaning(self, target: Target, X: Any) -> Meaning:
        """What the rows say of themselves."""
        if isinstance(X, (str, Path, Dataset)):
            return Meaning()
        table = isinstance(X, pd.DataFrame)
        return Meaning(
            channels=table or self.channels is not None,
            units=self.units is not None,
            step_hours=table or self.step_hours is not None,
            task=False,
            classes=None if self.classes is None else tuple(self._class_name(key) for key in target.keys),
        )

    def _class_name(self, key: Any) -> str:
        assert self.classes is not None
        if key not in self.classes:
            raise InputError(f"classes: has no name of the label {key!r}")
        return self.classes[key]


def _of_task(data: Dataset) -> Target:
    """A data set's labels with the names that its task gives them."""
    label, names = data.train.label, data.manifest.task.classes
    counts = np.bincount(label, minlength=len(names))
    if counts.min() < 2:
        raise InputError(f"train split: class {names[int(counts.argmin())]} has {counts.min()} rows; at least two are needed")
    return Target(label, names, tuple(range(len(names))), label, given=label)
