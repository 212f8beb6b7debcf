"""Options that a command would not read because of its other options: whoever gives one all the same is told so."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tardiff.errors import TardiffError
from tardiff.refine.settings import DiscriminatorSettings, LanguageSettings
from tardiff.settings import LADDER, METHODS, NOT_SENT, TrainSettings

Given = Mapping[str, Any]
"""A command's arguments by parameter name, settings classes among them."""


@dataclass(frozen=True)
class Rule:
    """When some options are read.

    Attributes:
        options: without dashes.
        read: whether the command reads them.
        needs: what they need, in words.
    """

    options: tuple[str, ...]
    read: Callable[[Given], bool]
    needs: str


def refuse_unread(command: str, given: Given, arguments: Sequence[str]) -> None:
    """Refuse an option that was given and would not be read, be its value the default or not.

    Args:
        command: name.
        given: what its parameters are, options that were left out among them.
        arguments: what the user wrote after the name.

    Raises:
        TardiffError: naming the option, and what it needs.
    """
    written = [argument.partition("=")[0][2:].replace("_", "-") for argument in arguments if argument.startswith("--")]
    for option in written:
        name = option.removeprefix("no-")
        for rule in RULES.get(command, ()):
            if (option in rule.options or name in rule.options) and not rule.read(given):
                raise TardiffError(f"{command}: --{option} would not be read; it needs {rule.needs}")


def _steered(given: Given) -> bool:
    return given["guidance"].guidance == "objective"


def _acts(given: Given) -> bool:
    return given["guidance"].guidance != "none" and (given["guidance"].strength != 0 or not _steered(given))


def _labelled(given: Given) -> bool:
    """False if RUN learnt without labels; a folder that cannot be read is left to whoever opens it."""
    try:
        return len(json.loads((Path(given["run"]) / "card.json").read_bytes())["task"]["classes"]) > 1
    except (OSError, ValueError, LookupError, TypeError):
        return True


def _diffusion(given: Given) -> bool:
    return not any((Path(given["run"]) / name).is_file() for name in ("policy.json", "language.json"))


def _reads_guidance_rows(given: Given) -> bool:
    return given["guidance"].reads_guidance_rows or given["selection"].select != "none"


def _reads_classifier(given: Given) -> bool:
    return given["guidance"].reads_classifier or given["relabel"] or given["selection"].select != "none" or not _labelled(given)


def _ladder(given: Given) -> bool:
    return given["from_run"] is not None


def _ways(given: Given) -> set[str]:
    return set(given["settings"].ways(LADDER if _ladder(given) else METHODS))


def _makes_rows(given: Given) -> bool:
    return _ladder(given) or bool({"unguided", "guided"} & _ways(given))


def _rewards(given: Given) -> set[str]:
    return {term.partition("=")[0].strip() for term in given["settings"].rewards.split(",")}


DIFFUSION = tuple(field.name.replace("_", "-") for field in fields(TrainSettings) if field.name != "seed")
"""Options of `train` that a diffusion model reads alone."""

LANGUAGE = ("language-model", *(f"language.{field.name.replace('_', '-')}" for field in fields(LanguageSettings)))
"""Options of `train` that a language model reads alone."""

DISCRIMINATOR = tuple(f"discriminator.{field.name.replace('_', '-')}" for field in fields(DiscriminatorSettings))
"""Options of `refine` that change nothing but a log if no reward reads the discriminator."""

RULES: dict[str, tuple[Rule, ...]] = {
    "prepare": (
        Rule(("stays",), lambda given: given["settings"].source == "simulate", "the source simulate"),
        Rule(("raw",), lambda given: given["settings"].source != "simulate", "a source that is read, not simulate"),
        Rule(("schemas",), lambda given: given["settings"].connection is not None, "--connection"),
        Rule(
            ("lab-time",),
            lambda given: given["settings"].source not in ("physionet2012", "physionet2019", "meds", "yaib"),
            "a source that tells when results were known (mimic-iv, eicu, table, simulate)",
        ),
    ),
    "train": (
        Rule(("policy-settings",), lambda given: given["model"] == "policy", "--model policy"),
        Rule(LANGUAGE, lambda given: given["model"] == "language", "--model language"),
        Rule(("language.layers", "language.width"), lambda given: given["language_model"] is None, "a model from scratch"),
        Rule(("language.rank",), lambda given: given["language_model"] is not None, "--language-model"),
        Rule(DIFFUSION, lambda given: given["model"] == "diffusion", "--model diffusion (others read --policy-settings, or --language.*)"),
        Rule(("delta",), lambda given: given["settings"].epsilon is not None, "--epsilon"),
        Rule(("accumulate",), lambda given: given["settings"].epsilon is None, "training without --epsilon"),
    ),
    "fit-classifier": (
        Rule(("width",), lambda given: given["settings"].architecture != "summary", "an --architecture with hidden units, not summary"),
    ),
    "sample": (
        Rule(("sampler", "steps", "eta", "project", "batch-size"), _diffusion, "a diffusion pipeline; RUN writes a record in one go"),
        Rule(("eta",), lambda given: given["sampler"].sampler != "ode", "--sampler dpm or ddim"),
        Rule(("objective", "strength", "clip", "through-denoiser"), _steered, "--guidance objective"),
        Rule(("curvature",), lambda given: "raw" in given["guidance"].followed, "raw in --objective"),
        Rule(("guidance-data",), _reads_guidance_rows, "cosine, raw or contrastive in --objective, or --select influence"),
        Rule(("privacy-quantile",), lambda given: given["privacy_filter"] is not None, "--privacy-filter"),
        Rule(("guidance-rows",), lambda given: given["guidance_data"] is not None, "--guidance-data"),
        Rule(("cfg-scale",), _labelled, "a generator that learnt with labels"),
        Rule(("window", "cfg-scale", "clip", "through-denoiser"), _acts, "a guide that acts (--guidance none and --strength 0 do nothing)"),
        Rule(
            ("pilot",),
            lambda given: _steered(given) and (given["guidance"].strength == "matched" or "repulsion" in given["guidance"].followed),
            "--strength matched, which is the default of --guidance objective, or repulsion in --objective",
        ),
        Rule(("select-from",), lambda given: given["selection"].select != "none", "--select"),
        Rule(
            ("classifier",),
            _reads_classifier,
            "an objective that reads it (all but repulsion), --relabel, --select, or a RUN that learnt without labels",
        ),
    ),
    "augment": (
        Rule(("objective", "strength", "subgroup", "classifier"), lambda given: given["settings"].guidance != "none", "guidance"),
        Rule(("budget-minutes",), lambda given: given["run"] is None, "a generator that is trained here, without --run"),
        Rule(("batches",), lambda given: given["settings"].gate, "the gate"),
    ),
    "compare": (
        Rule(("from-classifier", "from-data", "local", "rows", "objective", "strength"), _ladder, "--from"),
        Rule(("run", "refined", "budget-minutes"), lambda given: not _ladder(given), "a comparison without --from"),
        Rule(
            ("objective", "strength"),
            lambda given: any(way.removesuffix("-alone").endswith("-guided") or way.startswith("guided") for way in _ways(given)),
            "a guided way among --methods",
        ),
        Rule(("from-data",), lambda given: bool(_ways(given) & set(NOT_SENT)), "a way with the other site's own rows among --methods"),
        Rule(("refined",), lambda given: "refined" in _ways(given), "refined among --methods"),
        Rule(("run", "budget-minutes"), _makes_rows, "unguided or guided among --methods"),
        Rule(("ratios",), lambda given: _makes_rows(given) or "refined" in _ways(given), "synthetic rows among --methods"),
        Rule(("budget-minutes",), lambda given: given["run"] is None, "generators that are trained here, without --run"),
    ),
    "refine": (
        Rule(("steps", "method", "share"), _diffusion, "a diffusion pipeline; a language model's row is one decision of PPO"),
        Rule(("classifier",), lambda given: bool({"influence", "value"} & _rewards(given)), "the reward influence or value (--rewards)"),
        Rule(DISCRIMINATOR, lambda given: "discriminator" in _rewards(given), "the reward discriminator (--rewards)"),
    ),
    "evaluate": (
        Rule(("models", "seeds", "ratios"), lambda given: not given["settings"].quick, "an evaluation without --quick, which sets it"),
    ),
    "demo": (Rule(("raw",), lambda given: given["settings"].data != "simulate", "--data physionet2012 or mimic-iv"),),
}
"""By command; everything else is always read."""
