"""Refining a generator by rewards: PPO on the denoising process and its relatives, with checks on validation rows.

The names below are imported when first asked for, so that settings are quick to read.
"""

from typing import TYPE_CHECKING

from tardiff.base.lazy import lazy

if TYPE_CHECKING:
    from tardiff.refine.language.training import train_language
    from tardiff.refine.policy_training import train_policy
    from tardiff.refine.rewards import reward
    from tardiff.refine.run import refine
    from tardiff.refine.settings import DiscriminatorSettings, LanguageSettings, PolicySettings, PPOSettings, RefineSettings

__getattr__ = lazy(
    __name__,
    {
        "DiscriminatorSettings": "settings",
        "LanguageSettings": "settings",
        "PPOSettings": "settings",
        "PolicySettings": "settings",
        "RefineSettings": "settings",
        "refine": "run",
        "reward": "rewards",
        "train_language": "language.training",
        "train_policy": "policy_training",
    },
)
__all__ = [
    "DiscriminatorSettings",
    "LanguageSettings",
    "PPOSettings",
    "PolicySettings",
    "RefineSettings",
    "refine",
    "reward",
    "train_language",
    "train_policy",
]
