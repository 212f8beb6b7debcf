"""One command for each arrow of the data flow. Heavy modules are imported inside the commands, so `--help` is quick."""

from collections.abc import Callable

from tardiff.commands.demo import demo
from tardiff.commands.models import adapt, fit_classifier, refine, train
from tardiff.commands.records import audit, export, prepare, simulate, variables
from tardiff.commands.results import compare, evaluate, quiz, report
from tardiff.commands.samples import augment, diagnose, sample

COMMANDS: dict[str, Callable[..., None]] = {
    "simulate": simulate,
    "variables": variables,
    "prepare": prepare,
    "audit": audit,
    "train": train,
    "adapt": adapt,
    "fit-classifier": fit_classifier,
    "sample": sample,
    "diagnose": diagnose,
    "augment": augment,
    "compare": compare,
    "refine": refine,
    "evaluate": evaluate,
    "report": report,
    "quiz": quiz,
    "export": export,
    "demo": demo,
}
