"""`tardiff adapt`: a generator that was trained elsewhere learns the ways of a hospital from few stays.

It learns in two parts. The marginals of each variable are fitted anew (`tardiff.data.recalibration`). Then small changes to the
networks (`low_rank`) learn how local records run, from rows without their label, while the label's effect (what the networks predict
with a label less what they predict without) is held where it was learnt from many patients: fine-tuning would learn a few dozen
positives by heart. Only where each class has enough rows is a third part tried, with labels, and kept if validation rows say that they
tell more then. Weight decay holds the changes back, too; validation rows stop them, and what they do not find better is not written.
"""

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tardiff.base.checkpoint import Checkpoint, Identity, plain, weights_hash
from tardiff.base.distributed import main_process
from tardiff.base.files import refuse_existing
from tardiff.base.partial import partial_folder
from tardiff.data.contract import arranged
from tardiff.data.dataset import Dataset, Split
from tardiff.data.holdout import with_held_out
from tardiff.data.padding import Padded, padded
from tardiff.data.recalibration import changed_channels, off_the_grids, recalibrated, recalibrated_statics
from tardiff.errors import InputError, TardiffError
from tardiff.model.card import Card
from tardiff.model.charting import ChartingModel
from tardiff.model.local_search import Found, Local, Search
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import AdaptSettings

FEWEST = 20
"""Training rows from which anything can be learnt."""


class NotBetterError(TardiffError):
    """Nothing that was tried fits the local rows better than the generator as it is."""


def adapt(
    pipeline: TarDiffPipeline, data: Dataset, out: str | Path, settings: AdaptSettings | None = None, progress: bool = True
) -> TarDiffPipeline:
    """Adapt a generator to local records and write it as a pipeline folder.

    Work in progress stands in `OUT.partial`; the same call resumes from it, and ends in the same weights.

    Args:
        pipeline: trained elsewhere, with labels or without; it is left as it is.
        data: local records. Their labels are counted, and learnt from only where `Local.tells_labels` and validation rows say that they
            tell something of their own. Validation rows stop and judge; if there are none, a fifth of the training patients does.
        out: pipeline folder to write.
        settings: of the training.
        progress: show a progress bar.

    Raises:
        TardiffError: `out` exists, `OUT.partial` belongs to other work, the records have another grid, units or categories, or hardly
            any row, or the loss explodes.
        NotBetterError: nothing that was tried fits the local rows better than the generator as it is.
    """
    settings, out = settings or AdaptSettings(), Path(out)
    refuse_existing(out)
    local = _local(pipeline, data, settings.seed)
    base = _with_marginals(pipeline, local.data.train, settings.seed)
    _say(pipeline, base, local)
    asked = {"settings": plain(settings), "base": _hashes(pipeline), "codec": pipeline.codec.digest()}
    checkpoint = Checkpoint(partial_folder(out), Identity(asked, data.manifest.content_hash))
    found = Search(base, local, settings, checkpoint).run(progress)
    effect = None
    if local.tells_labels:
        of_labels = Checkpoint(checkpoint.folder / "labels", checkpoint.identity)
        effect = Search(base, local, settings, of_labels, labels=True).run(progress)
    data.refuse_changed()
    marginals = base.codec.maps != pipeline.codec.maps or base.statics != pipeline.statics or bool(local.lacking)
    if not (found.better or marginals or (effect is not None and effect.better)):
        checkpoint.remove()
        raise NotBetterError(f"{out}: not written, because RUN as it is fits the validation rows of --data no worse: {found}")
    result = TarDiffPipeline(
        found.networks.unet.eval(),
        found.networks.charting.eval(),
        pipeline.scheduler,
        base.codec,
        base.statics,
        _card(pipeline, base, local, data, settings, found, effect),
    )
    result.save_pretrained(out)
    if main_process():
        checkpoint.remove()
    return result


def _local(pipeline: TarDiffPipeline, data: Dataset, seed: int) -> Local:
    labelled = pipeline.labelled and data.manifest.task.name == pipeline.card.task.name
    form = pipeline.form if labelled else replace(pipeline.form, classes=None, task=None)
    known: Padded = padded(data if labelled else data.unlabelled(), pipeline.codec.channels, pipeline.statics.statics, "--data")
    rows = arranged(known.data, form, "--data", "RUN")
    held_out = not len(rows.splits.get("validation", ()))
    rows = with_held_out(rows, seed) if held_out else rows
    if len(rows.train) < FEWEST:
        raise InputError(f"--data: {len(rows.train)} training rows are too few to adapt to; {FEWEST} are needed")
    return Local(rows, labelled, known.lacking, known.left_out, held_out)


def _with_marginals(pipeline: TarDiffPipeline, train: Split, seed: int) -> TarDiffPipeline:
    """A copy of the generator whose codec and descriptors have the marginals of other rows."""
    codec, statics = recalibrated(pipeline.codec, train, seed), recalibrated_statics(pipeline.statics, train, seed)
    old = pipeline.charting.config
    charting = ChartingModel(codec.symbol_rate, old.classes, old.static_features, old.width)
    charting.load_state_dict(pipeline.charting.state_dict())
    return TarDiffPipeline(copy.deepcopy(pipeline.unet), charting.eval(), pipeline.scheduler, codec, statics, pipeline.card)


def _say(pipeline: TarDiffPipeline, base: TarDiffPipeline, local: Local) -> None:
    """On standard error, what the generator and the records do not share."""
    task = pipeline.card.task.name
    lines = {
        f"--data has no value of {', '.join(local.lacking)}; samples will have none either": local.lacking,
        f"{', '.join(local.left_out)} of --data is unknown to RUN and left out": local.left_out,
        f"values of {', '.join(off := off_the_grids(base.codec, local.data.train))} stand on other grids than RUN's and are rounded": off,
        "the differential privacy of RUN covers its own rows, not those of --data, so the adapted generator claims none": bool(
            pipeline.card.privacy
        ),
        f"the labels of --data are not those of RUN (task {task}); samples have RUN's": pipeline.labelled and not local.labelled,
        "--data has no validation rows; a fifth of its training patients takes their place": local.held_out,
    }
    for line, holds in lines.items():
        if holds and main_process():
            print(f"warning: {line}", file=sys.stderr)


def _hashes(pipeline: TarDiffPipeline) -> list[str]:
    return [weights_hash(network) for network in (pipeline.unet, pipeline.charting)]


def _card(
    pipeline: TarDiffPipeline,
    base: TarDiffPipeline,
    local: Local,
    data: Dataset,
    settings: AdaptSettings,
    found: Found,
    effect: Found | None,
) -> Card:
    """What the folder remembers: of its first training settings, losses and task, of the local records all else."""
    old, manifest = pipeline.card, data.manifest
    facts: dict[str, Any] = {
        **plain(settings),
        "from_source": f"{old.source} {old.source_version}".strip(),
        "from_data": old.data_hash,
        "from_weights": _hashes(pipeline),
        "from_codec": pipeline.codec.digest(),
        "rows": len(local.data.train),
        "validation_rows": len(local.data.split("validation")),
        "validation_rows_held_out_of_training": local.held_out,
        "new_value_maps": changed_channels(pipeline.codec, base.codec),
        "never_charted": local.lacking,
        "left_out": local.left_out,
        "steps_kept": found.step,
        "loss_before": round(found.before, 5),
        "loss_after": round(found.after if found.better else found.before, 5),
        "label_effect": "of local rows" if effect is not None and effect.better else "of the first source",
        **({"privacy_of_first_training": old.privacy} if old.privacy else {}),
    }
    rows = tuple(np.bincount(local.data.train.label, minlength=len(old.task.classes)).tolist())
    return msgspec.structs.replace(
        old,
        source=manifest.source,
        source_version=manifest.source_version,
        data_hash=manifest.content_hash,
        class_counts=rows if local.labelled or not pipeline.labelled else old.class_counts,
        privacy={},
        adaptation=facts,
    )
