"""`tardiff train --model language`: fine-tuning on the rows as text; what PPO goes on from (`tardiff refine`)."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.checkpoint import Checkpoint, Identity, Tensors, pack, pack_adam, plain, unpack, unpack_adam
from tardiff.base.device import here
from tardiff.base.distributed import main_process
from tardiff.base.files import new_folder, refuse_existing
from tardiff.base.noise import row_seeds, stream
from tardiff.base.partial import partial_folder
from tardiff.base.progress import bar
from tardiff.data.codec import Codec
from tardiff.data.dataset import UNLABELLED, Dataset, Split
from tardiff.data.rows import as_rows
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.training import training_card
from tardiff.refine.language.folder import LanguagePipeline, new_pipeline
from tardiff.refine.language.generator import Writer
from tardiff.refine.settings import LanguageSettings

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""
SAVE_EVERY = 50
"""Steps between checkpoints."""
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0


@dataclass(frozen=True)
class Texts:
    """Real rows as what is written of them.

    Attributes:
        label: [N].
        choice: index of each field's text, [N, F].
        nearest: values that are written as the nearest one that may be.
        values: values in all.
        left_out: rows that lack what no training row lacks.
    """

    label: NDArray[np.int64]
    choice: NDArray[np.int64]
    nearest: int
    values: int
    left_out: int

    @classmethod
    def of(cls, split: Split, writer: Writer) -> "Texts":
        """The texts of a split of rows."""
        columns = [*split.static.T, *split.values[:, :, 0].T]
        fields = writer.grammar.fields
        choice = np.stack([field.choices(column) for field, column in zip(fields, columns, strict=True)], axis=1)
        nearest = sum(int(field.unlike(column, of).sum()) for field, column, of in zip(fields, columns, choice.T, strict=True))
        may_be = (choice >= 0).all(axis=1)
        return cls(split.label[may_be], choice[may_be], nearest, int(np.isfinite(columns).sum()), int((~may_be).sum()))

    def __str__(self) -> str:
        nearest = f"{self.nearest:,} of {self.values:,} values are written as the nearest that may be (rare decimals, rare extremes)"
        left_out = f"; {self.left_out:,} rows lack what no training row lacks and are left out" if self.left_out else ""
        return f"{len(self.label):,} rows; {nearest}{left_out}"


def train_language(
    data: Dataset,
    out: str | Path,
    settings: LanguageSettings | None = None,
    language_model: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> LanguagePipeline:
    """Train a language model on the rows of a data set and write its folder, at the epoch that validation rows like best.

    Work in progress stands in `OUT.partial`; the same call resumes from it and ends in the same weights.

    Args:
        data: with a validation split; of several steps, its `rows` are learnt.
        out: folder to write.
        settings: sizes and length.
        language_model: folder or name of a pretrained model; None is a small one from scratch.
        seed: of weights and orders.
        progress: say what it costs, and show a progress bar.

    Raises:
        TardiffError: `out` exists, the data have no labels, the pretrained model is none or cannot spell them, or `OUT.partial` belongs to
            other settings or data.
    """
    out, settings = Path(out), settings or LanguageSettings()
    refuse_existing(out)
    if data.manifest.task == UNLABELLED:
        raise TardiffError("--no-labels: the text of a row begins with its label; leave it out, or train a diffusion model")
    rows = as_rows(data)
    codec, statics = Codec.fit(rows.train, rows.manifest), StaticModel.fit(rows.train, rows.manifest)
    card = training_card(rows, {"language": plain(settings), "language_model": language_model}, [])
    pipeline = new_pipeline(settings, language_model, codec, statics, card, seed).to(here())
    asked = {"settings": plain(settings), "base": plain(pipeline.index.base), "seed": seed}
    tuning = Tuning(pipeline, rows, settings, seed, Checkpoint(partial_folder(out), Identity(asked, rows.manifest.content_hash)))
    history = tuning.run(progress)
    data.refuse_changed()
    pipeline.card = training_card(rows, card.settings, history)
    with new_folder(out) as folder:
        pipeline.write(folder)
    if main_process():
        tuning.checkpoint.remove()
    return pipeline.to(torch.device("cpu"))


class Tuning:
    """Fine-tuning: what changes from step to step.

    Args:
        pipeline: trained in place.
        rows: real rows, with a validation split.
        settings: sizes and length.
        seed: of the orders of rows and fields.
        checkpoint: where work in progress is kept.

    Raises:
        TardiffError: there is no validation split, or none of its rows can be written.
    """

    def __init__(self, pipeline: LanguagePipeline, rows: Dataset, settings: LanguageSettings, seed: int, checkpoint: Checkpoint) -> None:
        self.pipeline, self.writer, self.settings, self.seed, self.checkpoint = pipeline, pipeline.writer, settings, seed, checkpoint
        self.train, self.held = (Texts.of(rows.split(name), self.writer) for name in ("train", "validation"))
        if not len(self.held.label):
            raise TardiffError("every validation row lacks something that no training row lacks, so no epoch can be chosen; split anew")
        self.optimizer = torch.optim.AdamW(self.writer.model.parameters(), settings.learning_rate, weight_decay=WEIGHT_DECAY)
        self.an_epoch = -(-len(self.train.label) // settings.batch_size)
        self.steps = self.an_epoch * settings.epochs
        self.done, self.history, self.best, self.losses = 0, list[dict[str, float]](), Tensors(), list[float]()

    def run(self, progress: bool) -> list[dict[str, float]]:
        """Train to the end, from the last checkpoint if there is one; the model is then that of the best epoch. Returns the losses."""
        if (kept := self.checkpoint.load()) is not None:
            self._restore(*kept)
        if progress and main_process():
            print(self.cost())
        with bar(shown=progress, total=self.steps, initial=self.done, desc="train", unit="step") as moved:
            while self.done < self.steps:
                self._step()
                if self.done % self.an_epoch == 0:
                    self._end_of_epoch()
                    moved.set_postfix(validation_loss=f"{self.history[-1]['validation_loss']:.3f}", refresh=False)
                if main_process() and (self.done % SAVE_EVERY == 0 or self.done % self.an_epoch == 0):
                    self._save()
                moved.update()
        self.writer.model.load_state_dict(unpack("best", self.best))
        return self.history

    def cost(self) -> str:
        """What the training costs on this machine, and sampling from it: by one part of each, of which nothing is kept."""
        begin = time.perf_counter()
        batch = np.arange(min(self.settings.batch_size, len(self.train.label)))
        self._gradient(self.train, batch, 0)
        self.optimizer.zero_grad()
        step = time.perf_counter() - begin
        begin, few = time.perf_counter(), self.writer.written_at_once
        self.writer.draw(np.resize(self.train.label, few), row_seeds(self.seed, range(few)))
        minute = 60 * few / (time.perf_counter() - begin)
        return (
            f"training texts: {self.train}\n"
            f"{self.steps - self.done:,} steps of {len(batch)} rows take about {(self.steps - self.done) * step / 60:.1f} minutes on this "
            f"machine as it is now; about {minute:,.0f} rows a minute are sampled"
        )

    def _step(self) -> None:
        epoch, place = divmod(self.done, self.an_epoch)
        order = stream("language rows", self.seed, epoch).permutation(len(self.train.label))
        rows = order[place * self.settings.batch_size : (place + 1) * self.settings.batch_size]
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * _share(self.done, self.steps)
        self.optimizer.zero_grad()
        loss = self._gradient(self.train, rows, epoch)
        norm = torch.nn.utils.clip_grad_norm_(self.writer.model.parameters(), MAX_GRAD_NORM)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise TardiffError(f"step {self.done + 1}: the loss is not finite; try a smaller --language.learning-rate, in another --out")
        self.optimizer.step()
        self.losses.append(loss)
        self.done += 1

    def _gradient(self, texts: Texts, rows: NDArray[np.integer], epoch: int) -> float:
        """Add the gradient of the mean loss of some rows, part by part; returns the loss."""
        total = 0.0
        for part in np.array_split(rows, -(-len(rows) // self.writer.chunk)):
            loss = -self._log_prob(texts, part, "language fields", epoch).sum() / len(rows)
            loss.backward()
            total += float(loss.detach())
        return total

    def _log_prob(self, texts: Texts, rows: NDArray[np.integer], use: str, epoch: int) -> Tensor:
        """Of each row, its fields in an order drawn for the epoch, [b]: the mean over the fields."""
        fields = texts.choice.shape[1]
        order = stream(use, self.seed, epoch).random((len(texts.label), fields)).argsort(axis=1)[rows]
        tokens, nodes = (part.to(self.writer.device) for part in self.writer.grammar.written(texts.label[rows], order, texts.choice[rows]))
        return self.writer.chosen(self.writer.log_prob(tokens, nodes), tokens, nodes).sum(1) / fields

    @torch.no_grad()
    def _end_of_epoch(self) -> None:
        parts = np.array_split(np.arange(len(self.held.label)), -(-len(self.held.label) // self.writer.chunk))
        held = float(torch.cat([self._log_prob(self.held, part, "language validation", 0) for part in parts]).mean())
        loss, self.losses = float(np.mean(self.losses)), []
        self.history.append({"step": self.done, "loss": loss, "validation_loss": -held})
        if min(entry["validation_loss"] for entry in self.history) == -held:
            self.best = pack("best", self.writer.model.state_dict())

    def _save(self) -> None:
        model = self.writer.model
        tensors = {**pack("model", model.state_dict()), **pack_adam("adam", model, self.optimizer), **self.best}
        self.checkpoint.save(tensors, {"done": self.done, "history": self.history, "losses": self.losses})

    def _restore(self, tensors: Tensors, progress: dict[str, list[dict[str, float]]]) -> None:
        self.writer.model.load_state_dict(unpack("model", tensors))
        unpack_adam("adam", tensors, self.writer.model, self.optimizer)
        self.best = {name: tensor for name, tensor in tensors.items() if name.startswith("best/")}
        self.done, self.history, self.losses = (progress[name] for name in ("done", "history", "losses"))  # type: ignore[assignment]


def _share(step: int, steps: int) -> float:
    """Of the peak learning rate: a rise, then a cosine down to 0."""
    rise = max(1, round(WARM_UP * steps))
    return (step + 1) / rise if step < rise else 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
