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
from tardiff.refine.policy_folder import INDEX, PolicyPipeline


def load_generator(path: str | Path) -> RecordGenerator:
    """A diffusion pipeline or a record policy.

    Raises:
        TardiffError: the folder is neither, or a file of it is missing or damaged.
    """
    return PolicyPipeline.from_pretrained(path) if (Path(path) / INDEX).is_file() else TarDiffPipeline.from_pretrained(path)


@dataclass(frozen=True)
class PolicyDescriptors:
    """A static model whose descriptors a record policy draws; all else is the model's own."""

    policy: PolicyPipeline
    model: StaticModel

    def sample(self, label: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.float32]:
        """New descriptors [N, S]; row i depends on label[i] and seeds[i] alone."""
        return self.policy(label, seeds).static

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def described(pipeline: RecordGenerator, policy: RecordGenerator) -> TarDiffPipeline:
    """The diffusion pipeline, conditioned on descriptors that a record policy draws.

    Raises:
        TardiffError: they are not a diffusion pipeline and a record policy of the same data.
    """
    if not isinstance(policy, PolicyPipeline):
        raise TardiffError("--descriptors: not a record policy; make one with `tardiff train --model policy`")
    if not isinstance(pipeline, TarDiffPipeline):
        raise TardiffError("--descriptors: RUN is a record policy itself, which draws its own descriptors")
    if policy.codec.digest() != pipeline.codec.digest() or policy.statics != pipeline.statics:
        raise TardiffError("--descriptors: the record policy was trained on other data than RUN")
    statics: Any = PolicyDescriptors(policy, pipeline.statics)
    return TarDiffPipeline(pipeline.unet, pipeline.charting, pipeline.scheduler, pipeline.codec, statics, pipeline.card)
