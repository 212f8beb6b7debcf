"""What the folders of the package are known by. Nothing heavy is imported here, so that a wrong path is refused at once."""

import os
from dataclasses import dataclass
from pathlib import Path

from tardiff.errors import TardiffError


@dataclass(frozen=True)
class Kind:
    """A kind of folder.

    Attributes:
        name: in words.
        files: by one of which it is known.
        command: that makes one.
    """

    name: str
    files: tuple[str, ...]
    command: str

    def check(self, path: str | Path) -> None:
        """Refuse what is no such folder."""
        if not any((Path(path) / file).is_file() for file in self.files):
            raise self.refusal(path)

    def refusal(self, path: str | Path) -> TardiffError:
        """What is wrong with a path that is no such folder."""
        wrong = f"not {self.name} (no {self.files[0]})" if os.path.lexists(path) else "no such folder"
        return TardiffError(f"{path}: {wrong}; make one with `tardiff {self.command}`")


DATASET = Kind("a dataset folder", ("manifest.json",), "prepare")
PIPELINE = Kind("a pipeline folder", ("model_index.json", "policy.json", "language.json"), "train")
CLASSIFIER = Kind("a classifier folder", ("classifier.json",), "fit-classifier")
EVALUATION = Kind("an evaluation folder", ("metrics.json",), "evaluate")
