"""The paths of a command, looked at before anything heavy is imported."""

from collections.abc import Mapping
from typing import Any

from tardiff.base.folders import CLASSIFIER, DATASET, EVALUATION, PIPELINE
from tardiff.commands.options import name_and_path
from tardiff.errors import TardiffError

INPUTS = {
    "data": DATASET,
    "real": DATASET,
    "test": DATASET,
    "guidance_data": DATASET,
    "privacy_filter": DATASET,
    "from_data": DATASET,
    "run": PIPELINE,
    "refined": PIPELINE,
    "from_run": PIPELINE,
    "descriptors": PIPELINE,
    "classifier": CLASSIFIER,
    "from_classifier": CLASSIFIER,
    "evaluation": EVALUATION,
}
"""The parameters that name a folder of the package, whatever the command, and its kind."""


def check_paths(command: str, given: Mapping[str, Any]) -> None:
    """Refuse an input that is not there or not what it should be, and an output that is.

    Args:
        command: name.
        given: what its parameters are.

    Raises:
        TardiffError: naming the path.
    """
    from tardiff.base.files import refuse_existing

    for name, value in given.items():
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        paths = [name_and_path(path)[1] if isinstance(path, str) else path for path in values]
        for path in paths:
            if name in INPUTS and (command, name) != ("audit", "run"):  # which may be a classifier
                INPUTS[name].check(path)
            elif name == "synthetic" and not path.exists():
                raise TardiffError(f"{path}: no such file or folder")
            elif name == "out":
                refuse_existing(path)
