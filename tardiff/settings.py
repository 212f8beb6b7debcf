"""Settings of every command, as frozen dataclasses. Nothing heavy is imported here, so that `--help` is quick."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from tardiff.errors import TardiffError

MAX_SEED = 2**31 - 1


def check_range(settings: Any, low: float, high: float, *fields: str) -> None:
    """Refuse a setting outside low .. high, or without end; None is no number and has no range."""
    for field in fields:
        value = getattr(settings, field)
        for number in value if isinstance(value, tuple) else () if value is None else (value,):
            if not low <= number <= high or number == ANY:
                bound = f"between {low:.10g} and {high:.10g}" if high < ANY else f"at least {low:.10g}"
                if low == TINY:
                    bound = f"above 0 and at most {high:.10g}" if high < ANY else "above 0"
                bound = "finite" if number == ANY else bound
                raise TardiffError(f"--{field.replace('_', '-')} {number}: must be {bound}")


def named_weights(option: str, what: str, text: str, known: Collection[str]) -> dict[str, float]:
    """`discriminator=1,influence=0.5` as a dict."""
    weights: dict[str, float] = {}
    for item in text.split(","):
        name, _, number = (part.strip() for part in item.partition("="))
        if name not in known:
            raise TardiffError(f"{option}: unknown {what} {name!r} (known: {', '.join(known)})")
        if name in weights:
            raise TardiffError(f"{option}: {name} is named twice")
        try:
            weights[name] = float(number)
        except ValueError:
            weights[name] = math.nan
        if not 0 < weights[name] < math.inf:
            raise TardiffError(f"{option} {item.strip()}: the weight must be a number above 0, as in {name}=0.5")
    return weights


ANY = float("inf")
WIDEST = 4096
"""Of any layer: what is wider is a slip, or a file that lies and would fill the memory."""
TINY = 1e-12


@dataclass(frozen=True)
class TrainSettings:
    """How the diffusion model is built and trained."""

    steps: int = 2000
    """Optimizer steps. With about 3,000 stays the validation loss is about lowest here."""
    batch_size: int = 128
    """Rows a step."""
    learning_rate: float = 2e-3
    """Peak learning rate; warms up over the first 5 % of the steps and falls to 0 along a cosine."""
    weight_decay: float = 0.1
    """AdamW's weight decay."""
    widths: tuple[int, ...] = (64, 128, 128)
    """Channels of each U-Net level; every level after the first halves the time axis."""
    blocks: int = 2
    """Residual blocks a level."""
    dropout: float = 0.1
    """Share of rows trained without their label, and, independently, without their descriptors."""
    ema_decay: float = 0.999
    """Decay of the averaged weights that are saved."""
    gradient_clip: float = 1.0
    """Largest gradient norm (with --epsilon: of each row)."""
    epsilon: float | None = None
    """Train by DP-SGD: one training row more or less changes the odds of any result by at most a factor e^epsilon, up to --delta. Only
    noisy gradients come from training rows; the rest of the folder comes from validation rows, which are not protected
    (docs/explanation/reliability.md). Needs 'tardiff[dp]'."""
    delta: float = 1e-5
    """Delta of differential privacy; below one over the number of training rows."""
    accumulate: int = 1
    """Parts that the rows of a step are computed in, one after the other: a large batch in little memory."""
    validate_every: int = 500
    """Steps between validation losses and checkpoints."""
    seed: int = 0
    """Seed of weights, order, noise, steps and dropout."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "steps", "batch_size", "blocks", "accumulate", "validate_every")
        check_range(self, TINY, ANY, "learning_rate", "gradient_clip")
        check_range(self, 0, ANY, "weight_decay")
        check_range(self, 0, 1, "dropout", "ema_decay")
        check_range(self, 0, MAX_SEED, "seed")
        check_range(self, TINY, 0.1, "delta")
        check_range(self, 0.01, 1000, "epsilon")
        check_range(self, 8, WIDEST, "widths")
        if not self.widths or any(width % 8 for width in self.widths):
            raise TardiffError(f"--widths {' '.join(map(str, self.widths))}: give multiples of 8, one for each level")


@dataclass(frozen=True)
class AdaptSettings:
    """How a trained generator learns the ways of another hospital."""

    steps: int = 1000
    """Most optimizer steps."""
    batch_size: int = 64
    """Rows a step."""
    learning_rate: float = 2e-3
    """AdamW's learning rate, after a short warm-up."""
    weight_decay: float = 0.05
    """AdamW's weight decay, which draws every weight back to where it was."""
    rank: int = 4
    """Rank of the changes to weight matrices; 0 changes biases and norms alone."""
    validate_every: int = 50
    """Steps between validation losses and checkpoints."""
    patience: int = 4
    """Stop after this many validation losses without a better one."""
    seed: int = 0
    """Seed of changes, order and noise, and of held-out rows if there is no validation split."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "steps", "batch_size", "validate_every", "patience")
        check_range(self, TINY, ANY, "learning_rate")
        check_range(self, 0, ANY, "weight_decay")
        check_range(self, 0, WIDEST, "rank")
        check_range(self, 0, MAX_SEED, "seed")


@dataclass(frozen=True)
class ClassifierSettings:
    """How a downstream classifier is built and trained."""

    architecture: Literal["gru", "lstm", "tcn", "transformer", "summary", "committee"] = "committee"
    """Network that reads values and mask over time; `summary` is a logistic regression on summary features, `committee` the
    mean of two GRUs, a TCN and a `summary`, which guides more surely than any one network."""
    width: int = 64
    """Hidden units."""
    dropout: float = 0.2
    """Dropout before the last layer."""
    learning_rate: float = 1e-3
    """AdamW's learning rate."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    batch_size: int = 64
    """Rows a step."""
    epochs: int = 60
    """Most passes over the training rows."""
    patience: int = 6
    """Stop after this many epochs without a better validation AUPRC."""
    class_weights: bool = False
    """Weigh the classes equally in the loss."""
    seed: int = 0
    """Seed of weights, order and dropout."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "batch_size", "epochs", "patience")
        check_range(self, TINY, ANY, "learning_rate")
        check_range(self, 0, ANY, "weight_decay")
        check_range(self, 0, 0.99, "dropout")
        check_range(self, 0, MAX_SEED, "seed")
        check_range(self, 4, WIDEST, "width")
        if self.width % 4:
            raise TardiffError(f"--width {self.width}: give a multiple of 4")


AIMED = ("cosine", "raw", "contrastive")
"""Objectives that read the guidance rows."""
OBJECTIVES = ("label", *AIMED, "entropy", "repulsion")


@dataclass(frozen=True)
class GuidanceSettings:
    """What steers the sampler, and how strongly."""

    guidance: Literal["none", "classifier-free", "objective"] = "objective"
    """`classifier-free` exaggerates what the label changes (--cfg-scale); `objective` also ascends --objective."""
    objective: str = "label=1"
    """What is ascended, as NAME=WEIGHT,NAME=WEIGHT: label (its log-probability by the classifier); cosine (of the sample's loss gradient
    and the guidance rows', along the classifier's training); raw (their product: the influence on the guidance rows' loss, the published
    formula); contrastive (cosine with the gradient of the same class's guidance rows minus that of the others); entropy (of the
    classifier: samples that it is unsure of); repulsion (distance from the nearest of --pilot samples of the class). Each gradient is
    scaled to the same size before it is weighted, and only the proportions of the weights matter."""
    curvature: Literal["none", "last-layer"] = "none"
    """Of `raw`: `last-layer` is the influence function (H + lambda I)^-1 g at the final weights, with the Hessian H of the classifier's
    training loss over its last layer and lambda a tenth of H's mean eigenvalue; `none` sums over the training, without H."""
    through_denoiser: bool = False
    """Take the gradient through the denoiser as well (two to three times the time of a guided step)."""
    strength: float | Literal["matched"] = "matched"
    """Root mean square of the change to the clean estimate, in units of the step's noise level sigma. A given 0 is unguided:
    classifier-free guidance is off, too. `matched` is the strength, at most 0.3, at which the classifier tells the samples' labels as well
    as validation rows', by AUROC (0 if classifier-free guidance alone reaches that)."""
    cfg_scale: float | Literal["matched"] = "matched"
    """Classifier-free guidance, next to every guide: 1 follows the label as it was learnt, above 1 exaggerates what it changes, 0 ignores
    it. A generator that learnt without labels has none. `matched` is 2; with a matched strength it is lowered, to 1 at least, if the
    classifier tells samples' labels better at 2 and strength 0 than validation rows'."""
    window: float = 0.4
    """Share of the reverse steps that are guided, counted from pure noise."""
    clip: float = 3.0
    """Largest change of one entry, in units of strength * sigma."""
    pilot: int = 1024
    """Most samples drawn to match a strength, and the number from which `repulsion` keeps away."""

    def __post_init__(self) -> None:
        terms = self.terms
        if self.strength == "matched" and self.guidance == "objective" and not {"label", *AIMED} & terms.keys():
            raise TardiffError(
                f"--objective {self.objective}: no strength of it makes a label surer, so none can be matched; give --strength"
            )
        if not isinstance(self.strength, str):
            check_range(self, 0, ANY, "strength")
        check_range(self, 0, 1, "window")
        if not isinstance(self.cfg_scale, str):
            check_range(self, 0, ANY, "cfg_scale")
        check_range(self, TINY, ANY, "clip")
        check_range(self, 32, 2**20, "pilot")

    @property
    def terms(self) -> dict[str, float]:
        """The weight of each objective by its name."""
        return named_weights("--objective", "objective", self.objective, OBJECTIVES)

    @property
    def followed(self) -> dict[str, float]:
        """The `terms` that guidance follows: none without a guide."""
        return self.terms if self.guidance == "objective" else {}

    @property
    def reads_classifier(self) -> bool:
        """Whether an objective reads a classifier."""
        return bool(self.followed.keys() - {"repulsion"})

    @property
    def reads_guidance_rows(self) -> bool:
        """Whether an objective reads the guidance rows."""
        return not self.followed.keys().isdisjoint(AIMED)

    @property
    def uses_cfg(self) -> bool:
        """Whether classifier-free guidance acts."""
        return self.guidance == "classifier-free" or (self.guidance != "none" and self.strength != 0)


@dataclass(frozen=True)
class SelectionSettings:
    """Choosing among more samples than are wanted, instead of guidance, at --select-from times the compute of unguided sampling."""

    select: Literal["none", "influence"] = "none"
    """Keep the samples of highest `influence` (cosine, along the classifier's training) of each label."""
    select_from: int = 4
    """Samples drawn for each one that is kept."""

    def __post_init__(self) -> None:
        check_range(self, 2, 1000, "select_from")


@dataclass(frozen=True)
class SamplerSettings:
    """How the reverse process is run."""

    sampler: Literal["dpm", "ddim", "ode"] = "dpm"
    """`dpm` (DPM-Solver++ 2M), `ddim`, or `ode` (probability flow, Heun's third-order rule)."""
    steps: int = 20
    """Reverse steps."""
    eta: float = 1.0
    """Share of fresh noise: 1 is stochastic, 0 deterministic; `ddim` takes what lies between, `ode` has none."""
    project: bool = False
    """Keep the clean estimate within physiologic limits, and pressures in order, at every step (not only when it is decoded)."""
    batch_size: int = 256
    """Rows carried through the reverse process together, in whole chunks (64; 512 on a GPU). It bounds memory and changes no sample."""

    def __post_init__(self) -> None:
        check_range(self, 1, 1000, "steps")
        check_range(self, 0, 1, "eta")
        check_range(self, 1, ANY, "batch_size")


JUDGES: tuple[Literal["gru", "tcn", "trees", "logistic"], ...] = ("gru", "tcn", "trees", "logistic")


@dataclass(frozen=True)
class EvaluateSettings:
    """What an evaluation fits and how often."""

    models: tuple[Literal["gru", "tcn", "trees", "logistic"], ...] = JUDGES
    """Judges: the package's GRU and temporal convolutions, gradient-boosted trees and logistic regression on summary
    features. The default guide is made of all of these but trees."""
    seeds: int = 5
    """Fits of every cell, each with another seed."""
    ratios: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    """Synthetic rows added to the real ones (TSRTR), as shares of the number of real training rows."""
    bootstrap: int = 1000
    """Resamples of test patients behind every 95 % interval."""
    attack_rows: int = 2000
    """Most training rows that membership attacks try to tell from as many test rows."""
    seed: int = 0
    """Seed of the fits' seeds, the rows drawn and the bootstrap."""
    subgroups: tuple[str, ...] = ("auto",)
    """Descriptors whose groups of test patients get utility figures of their own; `auto` is every categorical one and age,
    `none` none."""
    max_rows: int = 20000
    """Most rows of a split that judges learn from or predict; larger splits are thinned out by the seed. 0 takes all."""
    quick: bool = False
    """Three seeds, ratio 1.0 only, trees and logistic regression, at most 4,000 rows, 500 attacked: a first look in under two minutes. With
    --run, one small reference model (up to a quarter of the generator's training time) instead of eight."""
    workers: int = 0
    """Processes that fit models side by side, each with one thread; 0 means as many as there are cores."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "seeds", "bootstrap", "attack_rows")
        check_range(self, TINY, ANY, "ratios")
        check_range(self, 0, ANY, "max_rows", "workers")
        check_range(self, 0, MAX_SEED, "seed")
        if not self.models:
            raise TardiffError("--models: must be at least one")
        if unknown := [model for model in self.models if model not in JUDGES]:
            raise TardiffError(f"--models {unknown[0]}: must be one of {', '.join(JUDGES)}")


@dataclass(frozen=True)
class AugmentSettings:
    """How many synthetic rows are added to a training split, and whom they serve."""

    ratio: float = 1.0
    """Share of what each class lacks to the most frequent one that is filled up: 1 balances the classes."""
    both: bool = False
    """Add as many synthetic rows of the most frequent class as of the others together, so that being synthetic says less of the label."""
    guidance: Literal["none", "objective"] = "objective"
    """Whether samples are steered."""
    objective: str | None = None
    """What is ascended, as in `tardiff sample`; by default label=1, or cosine=1 with --subgroup."""
    strength: float | Literal["matched"] = "matched"
    """Strength of guidance, as in `tardiff sample`; `matched` is 0.3 with --subgroup."""
    subgroup: str | None = None
    """Training rows that guidance serves, by a descriptor: "sex=female", "age>=65"."""
    budget_minutes: float = 2.0
    """Minutes to train a generator on one core, if no --run is given; they pick its size from a table."""
    gate: bool = True
    """Add rows only if they help on held-out training rows by more than the standard error: six folds, each with a generator (if no
    --run is given) and guides of its own, so it takes seven times as long."""
    batches: int = 1
    """Parts in which rows are added; each must pass the gate, and guides learn from those that have passed. The first that does not is
    the last."""
    seed: int = 0
    """Seed of generator, guides and samples."""

    def __post_init__(self) -> None:
        check_range(self, 1, 100, "batches")
        check_range(self, TINY, 100, "ratio")
        if not isinstance(self.strength, str):
            check_range(self, 0, ANY, "strength")
        check_range(self, TINY, ANY, "budget_minutes")
        check_range(self, 0, MAX_SEED, "seed")


METHODS = (
    *("none", "tuned", "class_weight", "oversample", "undersample", "smote", "borderline_smote", "svm_smote", "smote_enn"),
    *("jitter", "warp", "mixup", "unguided", "guided", "refined"),
)


NOT_SENT = ("real-alone", "real", "selected-alone", "selected")
"""Ways with rows of the other site that a receiver does not have."""
LADDER = (
    *("local", "as-is", "recalibrated", "fine-tuned"),
    *("unguided-alone", "unguided", "classifier-free-alone", "classifier-free", "adapted-alone", "adapted"),
    *("guided-alone", "guided", "adapted-guided-alone", "adapted-guided", *NOT_SENT),
)
"""What a site can do with what another one sends."""


@dataclass(frozen=True)
class CompareSettings:
    """Which ways of training on imbalanced rows are compared, and how often."""

    model: Literal["gru", "trees", "logistic", "xgboost", "lightgbm"] = "gru"
    """The model that is trained in every way: the package's GRU, or gradient-boosted trees, logistic regression, XGBoost or
    LightGBM on summary features."""
    methods: str | None = None
    """Ways, separated by commas; all of them if not given: nothing, the model's own settings tuned, class weights, random over- and
    undersampling, SMOTE and its relatives, jitter, time warp, mixup, unguided and guided synthetic rows, rows of a refined generator
    (--refined). With --from the ladder of docs/how-to/another-hospital.md."""
    seeds: int = 5
    """Fits of each way; each has its own generator, guides, samples and draws."""
    ratios: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Synthetic rows that validation rows choose from, as shares of what the rare class lacks to balance; each is tried with
    and without as many rows of the other class. Every other way but `none` chooses among as many settings of its own. With --from they
    are shares of --rows, each tried with the local share of positives and with more."""
    on: Literal["test", "validation"] = "test"
    """Split that judges. With `validation`, a fifth of the training patients takes its place in choosing."""
    by: Annotated[tuple[str, ...], arg(help_behavior_hint="(default: none)")] = ()
    """Also give the figures of subgroups: a descriptor ("sex") or a rule ("age>=65") and its opposite."""
    budget_minutes: float = 2.0
    """Minutes to train each generator on one core, if no --run is given; they pick its size from a table."""
    bootstrap: int = 1000
    """Resamples of patients and seeds behind every 95 % interval."""
    seed: int = 0
    """Seed of the seeds and the bootstrap."""
    workers: int = 0
    """Processes that fit models side by side, each with one thread; 0 means as many as there are cores."""

    def __post_init__(self) -> None:
        check_range(self, 1, 100, "seeds")
        check_range(self, 0, 10**4, "workers")
        check_range(self, TINY, 100, "ratios")
        check_range(self, 10, 10**5, "bootstrap")
        check_range(self, TINY, ANY, "budget_minutes")
        check_range(self, 0, MAX_SEED, "seed")
        if not self.ratios:
            raise TardiffError("--ratios: give at least one")
        named = {method.strip() for method in (self.methods or METHODS[0]).split(",")}
        self.ways(METHODS if named <= set(METHODS) or not named <= set(LADDER) else LADDER)

    def ways(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """The methods, in order, of those that there are; the first is what the others are compared to."""
        if self.methods is None:
            return known
        ways = tuple(method.strip() for method in self.methods.split(","))
        for method in ways:
            if method not in known:
                other = f"; --from is needed for {method}" if method in LADDER else ""
                raise TardiffError(f"--methods {method}: unknown (known: {', '.join(known)}{other})")
            if ways.count(method) > 1:
                raise TardiffError(f"--methods {method}: is named twice")
        if ways[0] != known[0]:
            raise TardiffError(f"--methods: the first one must be {known[0]}, to which the others are compared")
        return ways


@dataclass(frozen=True)
class SiteSettings:
    """What a comparison for another site (--from) may read and how it samples."""

    local: int | None = None
    """Labelled local stays to learn from and choose by, drawn anew by each seed from the training and validation rows; all of them if not
    given. The others only draw the learning curve."""
    rows: int = 3000
    """Most synthetic rows."""
    objective: str = "cosine=1"
    """What guided ways ascend, as in `tardiff sample`, in addition to classifier-free guidance; the guidance rows are the local ones."""
    strength: float = 0.3
    """Strength of that guidance, as in `tardiff sample`."""

    def __post_init__(self) -> None:
        check_range(self, 20, 10**7, "local")
        check_range(self, 10, 10**6, "rows")
        _ = self.guidance

    @property
    def guidance(self) -> GuidanceSettings:
        """The guide of guided ways."""
        return GuidanceSettings(objective=self.objective, strength=self.strength)


@dataclass(frozen=True)
class DemoSettings:
    """The six steps in a row, sized for two cores and some minutes."""

    data: Literal["simulate", "physionet2012", "mimic-iv"] = "simulate"
    """Source of the records; `simulate` needs nothing else."""
    raw: Path | None = None
    """The publisher's folder; by default it is looked for under the folder that TARDIFF_DATA names."""
    seed: int = 0
    """Seed of everything."""

    def __post_init__(self) -> None:
        check_range(self, 0, MAX_SEED, "seed")
