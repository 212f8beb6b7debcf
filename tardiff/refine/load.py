"""Opening whatever `tardiff train` and `tardiff refine` write."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.pipeline import RecordGenerator, TarDiffPipeline
from tardiff.refine.language import folder as language
from tardiff.refine.language.folder import LanguagePipeline
from tardiff.refine.policy_folder import INDEX, PolicyPipeline


def load_generator(path: str | Path) -> RecordGenerator:
    """A diffusion pipeline, a record policy, or a language model of rows."""
    if (Path(path) / INDEX).is_file():
        return PolicyPipeline.from_pretrained(path)
    if (Path(path) / language.INDEX).is_file():
        return LanguagePipeline.from_pretrained(path)
    return TarDiffPipeline.from_pretrained(path)


@dataclass(frozen=True)
class DrawnDescriptors:
    """A static model whose descriptors another generator draws; all else is the model's own."""

    source: PolicyPipeline | LanguagePipeline
    model: StaticModel

    def sample(self, label: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.float32]:
        """New descriptors [N, S]; row i depends on label[i] and seeds[i] alone."""
        return self.source.descriptors(label, seeds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def described(pipeline: RecordGenerator, source: RecordGenerator) -> TarDiffPipeline:
    """The diffusion pipeline, conditioned on descriptors that a record policy or a language model draws."""
    if not isinstance(source, PolicyPipeline | LanguagePipeline):
        raise TardiffError(
            "--descriptors: neither a language model nor a record policy; make one with `tardiff train --model language` (or policy)"
        )
    if not isinstance(pipeline, TarDiffPipeline):
        raise TardiffError("--descriptors: RUN is no diffusion pipeline, and draws its own descriptors")
    other_codec = isinstance(source, PolicyPipeline) and source.codec.digest() != pipeline.codec.digest()
    if other_codec or source.statics != pipeline.statics:
        raise TardiffError("--descriptors: it was trained on other data than RUN")
    statics: Any = DrawnDescriptors(source, pipeline.statics)
    return TarDiffPipeline(pipeline.unet, pipeline.charting, pipeline.scheduler, pipeline.codec, statics, pipeline.card)
