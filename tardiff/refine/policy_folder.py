"""`PolicyPipeline`: a record policy in a folder, sampled like any other generator."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tardiff.base.device import device_of, use_device
from tardiff.base.files import read_struct, write_struct
from tardiff.data.codec import Codec
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.card import Card
from tardiff.model.pipeline import RecordGenerator, Samples
from tardiff.model.sampling import UNGUIDED, Callback, Guide
from tardiff.refine.generator import decoded
from tardiff.refine.policy import PolicyGenerator, RecordPolicy, new_policy
from tardiff.settings import WIDEST, SamplerSettings

INDEX = "policy.json"


class PolicyIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `policy.json` says."""

    latent: int
    hidden: int

    def __post_init__(self) -> None:
        if not (1 <= self.latent <= WIDEST and 1 <= self.hidden <= WIDEST):
            raise ValueError(f"latent and hidden must be between 1 and {WIDEST}")


class PolicyPipeline(RecordGenerator):
    """A trained record policy. It draws a record in one step, so no guide can steer it."""

    guidable = False

    def __init__(self, policy: RecordPolicy, codec: Codec, statics: StaticModel, card: Card) -> None:
        self.policy, self.codec, self.statics, self.card = policy.eval(), codec, statics, card

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
        """Draw one record a seed; record i depends on label[i] and seeds[i] alone. Settings of a sampler and `like` change nothing."""
        if guide is not UNGUIDED:
            raise TardiffError("a record policy has no reverse steps to guide; use --guidance none")
        rollout = PolicyGenerator(self.policy, self.codec, self.statics).sample(label, seeds)
        return decoded(self.codec, rollout)

    def descriptors(self, label: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.float32]:
        """The descriptors of new records, [N, S]."""
        return self(label, seeds).static

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.policy)

    def to(self, device: torch.device | str) -> "PolicyPipeline":
        """The same policy, which is and computes on a device."""
        self.policy.to(use_device(device) if isinstance(device, str) else device)
        return self

    def write(self, folder: Path) -> None:
        """Write the policy's files into an empty folder."""
        write_struct(folder / INDEX, PolicyIndex(self.policy.latent, self.policy.value.in_features))
        save_file(self.policy.state_dict(), folder / "policy.safetensors")
        super().write(folder)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "PolicyPipeline":
        """Open a policy folder."""
        path = Path(path)
        index, card = read_struct(path / INDEX, PolicyIndex), Card.load(path)
        codec, statics = Codec.load(path / "codec.json"), StaticModel.load(path / "statics.json")
        policy = new_policy(codec, statics, len(card.task.classes), index.latent, index.hidden, seed=0)
        try:
            policy.load_state_dict(load_file(path / "policy.safetensors"))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise TardiffError(f"{path / 'policy.safetensors'}: missing or damaged ({' '.join(str(error).split())[:200]})") from error
        return cls(policy, codec, statics, card)
