"""Refining a generator by rewards: PPO on the denoising process and its relatives, with checks on validation rows.

The names below are imported when first asked for, so that settings are quick to read.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tardiff.refine.language.training import train_language
    from tardiff.refine.policy_training import train_policy
    from tardiff.refine.rewards import reward
    from tardiff.refine.run import refine
    from tardiff.refine.settings import DiscriminatorSettings, LanguageSettings, PolicySettings, PPOSettings, RefineSettings

_HOMES = {
    "DiscriminatorSettings": "settings",
    "LanguageSettings": "settings",
    "PPOSettings": "settings",
    "PolicySettings": "settings",
    "RefineSettings": "settings",
    "refine": "run",
    "reward": "rewards",
    "train_language": "language.training",
    "train_policy": "policy_training",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tardiff.refine' has no attribute {name!r}")
    return getattr(import_module(f"tardiff.refine.{_HOMES[name]}"), name)
