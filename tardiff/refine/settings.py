"""Settings of refinement and of the record policy. Nothing heavy is imported here, so that `--help` is quick."""

from dataclasses import dataclass
from typing import Literal

from tardiff.errors import TardiffError
from tardiff.settings import ANY, MAX_SEED, TINY, WIDEST, check_range


@dataclass(frozen=True)
class PPOSettings:
    """How a generator is updated from the rewards of its samples."""

    learning_rate: float = 1e-4
    """Adam's learning rate."""
    clip_coef: float = 1e-3
    """The ratio of new to old probability counts within 1 +- this; small where that is a mean over entries (refinement)."""
    update_epochs: int = 2
    """Passes over the decisions of an iteration."""
    minibatch_size: int = 256
    """Decisions (a row at a reverse step) behind each optimizer step; a multiple of 64 wastes nothing."""
    share: float = 0.125
    """Share of an iteration's decisions that a pass reads, drawn anew for each pass; it bounds the time. A
    language model's row is one decision, and all are read."""
    max_grad_norm: float = 1.0
    """Largest gradient norm."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "update_epochs", "minibatch_size")
        check_range(self, TINY, ANY, "learning_rate", "clip_coef", "max_grad_norm")
        check_range(self, TINY, 1, "share")


@dataclass(frozen=True)
class DiscriminatorSettings:
    """The network that tells samples from real rows; its logit is a reward."""

    width: int = 64
    """Channels of its temporal convolutions."""
    ratio: float = 5.0
    """Its learning rate over that of the generator."""
    updates: int = 20
    """Its updates an iteration."""
    warm_up: int = 500
    """Its updates on samples of the base, before the first reward."""
    batch_size: int = 128
    """Real and generated rows each behind one of its updates."""
    r1: float = 1.0
    """Weight of the squared gradient at real rows (R1)."""
    instance_noise: float = 0.1
    """Standard deviation of the noise added to all that it is trained on."""
    pseudo: float = 0.6
    """While the mean sign of the logit at real rows exceeds this, more generated rows are shown as real ones, else fewer (adaptive pseudo
    augmentation); 1 shows none."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "updates", "batch_size")
        check_range(self, TINY, ANY, "ratio")
        check_range(self, 0, ANY, "warm_up", "r1", "instance_noise")
        check_range(self, 0, 1, "pseudo")
        if not 8 <= self.width <= WIDEST or self.width % 8:
            raise TardiffError(f"--width {self.width}: give a multiple of 8")


@dataclass(frozen=True)
class RefineSettings:
    """What is rewarded, for how long, and when to stop."""

    rewards: str = "discriminator=1"
    """Rewards and their weights, as NAME=WEIGHT,NAME=WEIGHT: discriminator; influence (on the classifier's loss on guidance rows);
    value (KNN-Shapley, for training rows); fidelity (near a real record); spectral (power spectrum and autocorrelation);
    plausibility (no jumps and values at limits beyond those of real rows); privacy (not nearer to a training row than strangers
    are). Each is standardised within its class first. influence and value need --classifier."""
    method: Literal["ppo", "awm"] = "ppo"
    """`ppo` on the reverse process (DDPO), or `awm`, the denoising loss weighted by advantages, which keeps no trajectory."""
    kl: float = 0.1
    """Weight of the divergence from the frozen base, per entry like the log-probability."""
    iterations: int = 30
    """Rounds of sampling, rewarding and updating."""
    rows: int = 1024
    """Records sampled in each, of labels as frequent as in the training rows; a class with fewer than ten of them learns little."""
    steps: int = 20
    """Reverse steps (of the default sampler, dpm; as many as samples will have)."""
    ema_decay: float = 0.8
    """Decay, an iteration, of the averaged weights that are checked and saved."""
    check_every: int = 5
    """Iterations between checks of utility and fidelity on validation rows."""
    check_rows: int = 1024
    """Samples behind a check, of the same noise each time."""
    patience: int = 3
    """Stop after this many checks without a better one."""
    allow_worse: bool = False
    """Write the refined pipeline even if validation rows say that it is worse than the base."""
    track: bool = False
    """Also log to TensorBoard, in OUT.tensorboard (needs the extra `track`)."""
    seed: int = 0
    """Seed of everything."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "iterations", "check_every", "patience")
        check_range(self, 8, 2**20, "rows")
        check_range(self, 2, 500, "steps")  # of more, some end where they begin, and have no density
        check_range(self, 64, 2**20, "check_rows")
        check_range(self, 0, 1, "ema_decay")
        check_range(self, 0, ANY, "kl")
        check_range(self, 0, MAX_SEED, "seed")


@dataclass(frozen=True)
class PolicySettings:
    """The record policy, meant for very small data (RLSyn, arXiv 2512.21395)."""

    iterations: int = 300
    """Rounds of sampling, rewarding and updating."""
    rows: int = 256
    """Records sampled in each."""
    hidden: int = 128
    """Hidden units of its two layers."""
    latent: int = 32
    """Normal numbers that a record is made from."""
    ema_decay: float = 0.9
    """Decay, an iteration, of the averaged weights that are saved."""
    check_every: int = 25
    """Iterations between checks on validation rows; the best checkpoint is saved."""
    check_rows: int = 1024
    """Samples behind a check, of the same noise each time."""
    vf_coef: float = 0.5
    """Weight of the value head's squared error."""
    ent_coef: float = 1e-3
    """Weight of the entropy bonus."""
    ppo: PPOSettings = PPOSettings(learning_rate=1e-3, clip_coef=0.1, update_epochs=3, share=1.0)
    """How it is updated."""
    discriminator: DiscriminatorSettings = DiscriminatorSettings(ratio=0.25, updates=4, warm_up=20, r1=5.0)
    """What rewards it."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "iterations", "check_every")
        check_range(self, 1, WIDEST, "hidden", "latent")
        check_range(self, 64, 2**20, "check_rows")
        check_range(self, 8, 2**20, "rows")
        check_range(self, 0, 1, "ema_decay")
        check_range(self, 0, ANY, "vf_coef", "ent_coef")


@dataclass(frozen=True)
class LanguageSettings:
    """The language model of rows (GReaT, arXiv 2210.06280): how it is built and fine-tuned."""

    epochs: int = 30
    """Passes over the training rows, each with the fields of a row in another order; the best by validation rows is kept. A pretrained
    model needs few: 2."""
    batch_size: int = 32
    """Rows a step."""
    learning_rate: float = 1e-3
    """AdamW's peak learning rate; warms up over the first 5 % of the steps and falls to 0 along a cosine."""
    layers: int = 2
    """Layers of a model from scratch."""
    width: int = 128
    """Width of its layers."""
    rank: int = 8
    """Rank of the changes to a pretrained model's linear maps (LoRA)."""

    def __post_init__(self) -> None:
        check_range(self, 1, ANY, "epochs", "batch_size")
        check_range(self, TINY, ANY, "learning_rate")
        check_range(self, 1, 256, "layers")
        check_range(self, 1, WIDEST, "rank")
        if not 32 <= self.width <= WIDEST or self.width % 32:
            raise TardiffError(f"--width {self.width}: give a multiple of 32")
