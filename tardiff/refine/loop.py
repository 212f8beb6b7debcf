"""The loop that refinement and the record policy share: sample, reward, update, check; stopped and resumed exactly."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tardiff.base.checkpoint import Checkpoint, Tensors, pack, pack_adam, unpack, unpack_adam
from tardiff.base.distributed import main_process
from tardiff.base.noise import reserved_rows, row_seeds
from tardiff.base.progress import bar
from tardiff.data.codec import Codec
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.evaluate.privacy.closest import closest
from tardiff.model.pipeline import Samples
from tardiff.refine.discriminator import DiscriminatorRows, DiscriminatorTrainer
from tardiff.refine.early_stopping import Best, EarlyStopping
from tardiff.refine.generator import Generator, decoded, drawn
from tardiff.refine.log import Log
from tardiff.refine.ppo import LossWeights, Stats, ppo_update
from tardiff.refine.rewards import WeightedRewards
from tardiff.refine.settings import PPOSettings


@dataclass
class Loop:
    """Everything that changes from iteration to iteration, and how; `average` follows the generator's module, and is checked and saved."""

    generator: Generator
    average: nn.Module
    optimizer: torch.optim.Optimizer
    ppo: PPOSettings
    loss_weights: LossWeights
    rewards: WeightedRewards
    trainer: DiscriminatorTrainer
    stopping: EarlyStopping
    codec: Codec
    statics: StaticModel
    label: NDArray[np.int64]
    iterations: int
    check_every: int
    ema_decay: float
    seed: int
    checkpoint: Checkpoint
    log: Log
    done: int = field(default=0, init=False)

    def run(self, progress: bool) -> Best:
        """Run to the end, or until the checks stop it, from the last checkpoint if there is one; returns what was best."""
        check_seconds = self._begin(progress)
        self.log.open()
        with bar(shown=progress, total=self.iterations, initial=self.done, desc="refine", unit="iteration") as moved:
            while self.done < self.iterations and not self.stopping.stopped:
                record = self._iterate(self.done)
                self.done += 1
                if self.done % self.check_every == 0 or self.done == self.iterations:
                    record["check"] = self.stopping.check(self.done)
                self.log.add(record)
                if main_process():
                    self._save()
                if self.done == 1 and progress:
                    moved.write(self._estimate(record, check_seconds))
                moved.update()
                moved.set_postfix(check=self.log.last_check(), refresh=False)
        self.log.close()
        assert self.stopping.best is not None  # the last iteration is always checked
        return self.stopping.best

    def _begin(self, progress: bool) -> float:
        """From the checkpoint, or with the base's figures and a discriminator that knows the base; returns seconds of a check."""
        if (kept := self.checkpoint.load()) is not None:
            self._restore(*kept)
            return 0.0
        with bar(shown=progress, total=2, desc="begin: check, discriminator", unit="part") as moved:
            start = time.perf_counter()
            self.stopping.begin()
            seconds = time.perf_counter() - start
            moved.update()
            if warm_up := self.trainer.settings.warm_up:
                rows = reserved_rows("discriminator warm-up", len(self.label))
                pilot = drawn(self.generator, self.label, row_seeds(self.seed, rows))
                self.trainer.learn(DiscriminatorRows.of(decoded(self.codec, pilot), self.codec, self.statics), warm_up)
            moved.update()
        return seconds

    def _iterate(self, iteration: int) -> dict[str, Any]:
        """Sample, reward, update the generator, then the discriminator, which so rewards samples that it has not learnt."""
        start = time.perf_counter()
        rows = reserved_rows("refinement", len(self.label), iteration * len(self.label))
        rollout = drawn(self.generator, self.label, row_seeds(self.seed, rows))
        sampling = time.perf_counter() - start
        samples = decoded(self.codec, rollout)
        reward, logged = self.rewards(samples)
        stats = ppo_update(self.generator, self.optimizer, rollout, reward, self.ppo, self.loss_weights, self.seed, iteration)
        if not all(np.isfinite(value) for value in stats.values()):
            raise TardiffError(f"iteration {iteration + 1}: the update is not finite; try a smaller learning rate, in another --out")
        with torch.no_grad():
            for averaged, now in zip(self.average.parameters(), self.generator.module.parameters(), strict=True):
                averaged.lerp_(now, 1 - self.ema_decay)
        fake = DiscriminatorRows.of(samples, self.codec, self.statics)
        logged |= self.trainer.learn(fake, self.trainer.settings.updates) | self._spread(samples)
        seconds = {"seconds": time.perf_counter() - start, "sampling_seconds": sampling}
        return {"iteration": iteration + 1, **logged, **stats, **seconds}

    def _spread(self, samples: Samples) -> Stats:
        """Root mean square distance to the next sample and to the nearest training row: what reward hacking shows in first."""
        flat = self.codec.encode(samples).flatten(1)
        size = flat.shape[1] ** 0.5
        diversity = float((flat - flat.roll(1, 0)).norm(dim=1).mean()) / size
        return {"diversity": diversity, "nearest": float(closest(flat, self.trainer.real.x.flatten(1).cpu()).mean()) / size}

    def _estimate(self, record: dict[str, Any], check_seconds: float) -> str:
        checks = -(-self.iterations // self.check_every)
        minutes = (self.iterations * record["seconds"] + checks * check_seconds) / 60
        return (
            f"an iteration costs {record['seconds'] / record['sampling_seconds']:.1f} x sampling its {len(self.label)} records; "
            f"{self.iterations} iterations and {checks} checks take about {minutes:.1f} minutes"
        )

    def _save(self) -> None:
        network = self.trainer.network
        tensors: Tensors = {
            **pack("model", self.generator.module.state_dict()),
            **pack("average", self.average.state_dict()),
            **pack("discriminator", network.state_dict()),
            **pack_adam("model_adam", self.generator.module, self.optimizer),
            **pack_adam("discriminator_adam", network, self.trainer.optimizer),
            **self.stopping.tensors(),
        }
        trainer = {"pseudo": self.trainer.pseudo, "done": self.trainer.done}
        progress = {"done": self.done, "stopping": self.stopping.progress(), "trainer": trainer, "log": self.log.records}
        self.checkpoint.save(tensors, progress)
        self.log.write(self.checkpoint.folder)

    def _restore(self, tensors: Tensors, progress: dict[str, Any]) -> None:
        self.generator.module.load_state_dict(unpack("model", tensors))
        self.average.load_state_dict(unpack("average", tensors))
        self.trainer.network.load_state_dict(unpack("discriminator", tensors))
        unpack_adam("model_adam", tensors, self.generator.module, self.optimizer)
        unpack_adam("discriminator_adam", tensors, self.trainer.network, self.trainer.optimizer)
        self.trainer.pseudo, self.trainer.done = progress["trainer"]["pseudo"], progress["trainer"]["done"]
        self.stopping.restore(tensors, progress["stopping"])
        self.log.records = progress["log"]
        self.done = progress["done"]
