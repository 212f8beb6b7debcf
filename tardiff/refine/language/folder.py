"""`LanguagePipeline`: a language model of rows in a folder, sampled like any other generator."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tardiff.base.device import use_device
from tardiff.base.extras import needs
from tardiff.base.files import read_struct, write_struct
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.rows import as_rows
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.card import Card
from tardiff.model.pipeline import RecordGenerator, Samples
from tardiff.model.sampling import UNGUIDED, Callback, Guide
from tardiff.refine.generator import decoded
from tardiff.refine.language.fields import row_fields
from tardiff.refine.language.generator import LanguageGenerator, Writer
from tardiff.refine.language.grammar import Grammar
from tardiff.refine.language.model import Base, LanguageModel, least_bytes, new_model, new_tokenizer, pretrained, speller, with_adapters
from tardiff.refine.settings import LanguageSettings
from tardiff.settings import SamplerSettings

INDEX = "language.json"
WEIGHTS = "language.safetensors"


class LanguageIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `language.json` says: the sizes of a model from scratch, or the pretrained model (name, hash) whose adapters stand beside."""

    settings: LanguageSettings
    base: Base | None


class LanguagePipeline(RecordGenerator):
    """A trained language model of rows. It writes token by token, so no guide can steer it.

    Args:
        writer: the language model within the grammar of the rows.
        index: what it was made from.
        codec, statics, card: as of every generator; its records are rows (`tardiff.data.rows`).
    """

    guidable = False

    def __init__(self, writer: Writer, index: LanguageIndex, codec: Codec, statics: StaticModel, card: Card) -> None:
        self.writer, self.index, self.codec, self.statics, self.card = writer, index, codec, statics, card

    def __call__(
        self,
        label: NDArray[np.int64],
        seeds: Sequence[int],
        settings: SamplerSettings | None = None,
        guide: Guide = UNGUIDED,
        callback: Callback | None = None,
        progress: str | None = None,
        like: Samples | None = None,
    ) -> Samples:
        """Draw one row a seed; row i depends on label[i] and seeds[i] alone. Settings of a sampler and `like` change nothing.

        Raises:
            TardiffError: a guide is given.
        """
        if guide is not UNGUIDED:
            raise TardiffError("a language model has no reverse steps to guide; use --guidance none")
        return decoded(self.codec, self.generator(kl=False).drawn(label, seeds, progress))

    def generator(self, kl: bool) -> LanguageGenerator:
        """The same model as PPO trains it, in place."""
        return LanguageGenerator(self.writer, self.codec, self.statics, kl)

    def descriptors(self, label: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.float32]:
        """The descriptors of new rows alone, [N, S]; row i depends on label[i] and seeds[i] alone."""
        count = len(self.statics.statics)
        return self.writer.values(self.writer.draw(label, seeds, count).choice, slice(count))

    def copied(self) -> "LanguagePipeline":
        """A copy whose model is trained apart; frozen weights are shared. It claims no privacy."""
        writer = Writer(copy.deepcopy(self.writer.model), self.writer.grammar)
        return LanguagePipeline(writer, self.index, self.codec, self.statics, msgspec.structs.replace(self.card, privacy={}))

    def reads(self, data: Dataset) -> Dataset:
        """Real records as rows."""
        return as_rows(data)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.writer.device

    def to(self, device: torch.device | str) -> "LanguagePipeline":
        """The same model, which is and computes on a device."""
        where = use_device(device) if isinstance(device, str) else device
        self.writer.model.to(where)
        self.writer.grammar.to(where)
        return self

    def write(self, folder: Path) -> None:
        """Write the model's files into an empty folder: what was trained of it, and not what was pretrained."""
        write_struct(folder / INDEX, self.index)
        save_file({name: tensor.contiguous() for name, tensor in self.writer.model.state_dict().items()}, folder / WEIGHTS)
        super().write(folder)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "LanguagePipeline":
        """Open a folder.

        Raises:
            TardiffError: naming the file that is missing or damaged, or the pretrained model that is not what it was.
        """
        path = Path(path)
        index, card = read_struct(path / INDEX, LanguageIndex), Card.load(path)
        codec, statics = Codec.load(path / "codec.json"), StaticModel.load(path / "statics.json")
        if codec.steps != 1 or statics.classes != len(card.task.classes):
            raise TardiffError(f"{path}: codec.json, statics.json and card.json are not of one model of rows; train again")
        weights = path / WEIGHTS
        if index.base is None and weights.is_file() and weights.stat().st_size < least_bytes(index.settings):
            raise TardiffError(f"{weights}: too small for the sizes in {INDEX}; one of the two is damaged")
        pipeline = new_pipeline(index.settings, index.base.name if index.base else None, codec, statics, card, seed=0, download=False)
        if pipeline.index != index:
            raise TardiffError(
                f"{path / INDEX}: {pipeline.index.base and pipeline.index.base.name} is not the model that was trained on; "
                "its weights have changed since"
            )
        try:
            pipeline.writer.model.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise TardiffError(f"{weights}: missing or damaged ({' '.join(str(error).split())[:200]})") from error
        return pipeline


def new_pipeline(
    settings: LanguageSettings, language_model: str | None, codec: Codec, statics: StaticModel, card: Card, seed: int, download: bool = True
) -> LanguagePipeline:
    """An untrained model of rows: from scratch, or a pretrained one with adapters that change nothing yet.

    Args:
        settings: sizes.
        language_model: folder or name of a pretrained model; None is a small one from scratch.
        codec, statics, card: of the rows.
        seed: of the weights that are trained.
        download: whether `language_model` may be fetched over the network.

    Raises:
        TardiffError: there is no such model, or its tokenizer cannot spell the rows.
    """
    needs("transformers", "language")
    fields, task = row_fields(codec, statics), card.task
    network: Any
    if language_model is None:
        tokenizer, base = new_tokenizer(task.name, task.classes, fields), None
        grammar = Grammar(task.name, task.classes, fields, speller(tokenizer), tokenizer.pad_token_id)
        network = new_model(len(tokenizer), grammar.length(len(fields)), settings, seed)
    else:
        network, tokenizer, base = pretrained(language_model, download)
        grammar = Grammar(task.name, task.classes, fields, speller(tokenizer), 0)
        room = getattr(network.config, "max_position_embeddings", None)
        if room is not None and grammar.length(len(fields)) > room:
            raise TardiffError(f"--language-model {language_model}: a row may have {grammar.length(len(fields))} tokens, it reads {room}")
        network = with_adapters(network, settings.rank, seed)
    return LanguagePipeline(Writer(LanguageModel(network), grammar), LanguageIndex(settings, base), codec, statics, card)
