"""Opening whatever `tardiff train` and `tardiff refine` write."""

from pathlib import Path

from tardiff.pipeline import RecordGenerator, TarDiffPipeline
from tardiff.refine.policy_folder import INDEX, PolicyPipeline


def load_generator(path: str | Path) -> RecordGenerator:
    """A diffusion pipeline or a record policy.

    Raises:
        TardiffError: the folder is neither, or a file of it is missing or damaged.
    """
    return PolicyPipeline.from_pretrained(path) if (Path(path) / INDEX).is_file() else TarDiffPipeline.from_pretrained(path)
