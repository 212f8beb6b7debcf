"""The whole way in one command: the six steps in a row, ending in a page to look at."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from tardiff.commands.options import Out
from tardiff.commands.results import titles
from tardiff.commands.screen import Verbose, close, verdict
from tardiff.errors import TardiffError
from tardiff.settings import ClassifierSettings, DemoSettings, EvaluateSettings, GuidanceSettings, TrainSettings

FOLDERS = {"physionet2012": "physionet2012", "mimic-iv": "mimic-iv-demo-2.2"}
TRAINING = TrainSettings(steps=1000, blocks=1, validate_every=250, ema_decay=0.995)
CLASSIFIER = ClassifierSettings()
GUIDANCE = GuidanceSettings()
EVALUATION = EvaluateSettings(quick=True)


def demo(out: Out, settings: OmitArgPrefixes[DemoSettings] = DemoSettings(), verbose: Verbose = False) -> None:
    """From records to a page that shows what guided samples are worth, in one command. Takes four to ten minutes on two cores.

    For instance:
      tardiff demo --out runs/demo
      tardiff demo --data physionet2012 --raw physionet2012/ --out runs/demo-p12

    Args:
        out: Folder to write everything to.
    """
    from data_prep import PrepareSettings, prepare
    from tardiff import evaluate as evaluation
    from tardiff.base.files import new_folder
    from tardiff.classifier.folder import fit_classifier
    from tardiff.model.training import train
    from tardiff.report import report
    from tardiff.synthesis import synthesise

    raw = _raw(settings)
    print(f"six steps, four to ten minutes on two cores; everything goes into {out}", flush=True)
    with new_folder(out) as folder:
        with _step(1, f"prepare {settings.data}"):
            data = prepare(PrepareSettings(source=settings.data, raw=raw, out=folder / "data", seed=settings.seed))
        with _step(2, "train the diffusion model"):
            pipeline = train(data, folder / "run", replace(TRAINING, seed=settings.seed))
        with _step(3, "fit the classifier"):
            classifier = fit_classifier(data, replace(CLASSIFIER, seed=settings.seed))
            classifier.save(folder / "classifier")
        synthetic = {}
        for number, name, guidance in ((4, "unguided", GuidanceSettings(guidance="none")), (5, "guided", GUIDANCE)):
            with _step(number, f"sample {name}"):
                result = synthesise(
                    pipeline,
                    len(data.train),
                    classifier=classifier,
                    guidance=guidance,
                    seed=settings.seed,
                )
                synthetic[name] = result.dataset.save(folder / name)
        with _step(6, "evaluate"):
            figures = evaluation.evaluate(data, synthetic, replace(EVALUATION, seed=settings.seed))
            evaluation.write(figures, folder / "evaluation", data, synthetic)
        report(folder / "evaluation", folder / "index.html", titles())
    close([*map(verdict, evaluation.summary(figures)), f"look at {out / 'index.html'}"], evaluation.table(figures), verbose)


def _raw(settings: DemoSettings) -> Path | None:
    """Where the raw records are.

    Raises:
        TardiffError: nowhere.
    """
    if settings.data == "simulate" or settings.raw:
        return settings.raw
    home = os.environ.get("TARDIFF_DATA")
    if not home:
        raise TardiffError(f"--data {settings.data} needs --raw, the publisher's folder (or TARDIFF_DATA, the folder that holds it)")
    return Path(home) / FOLDERS[settings.data]


@contextmanager
def _step(number: int, title: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"[{number}/6] {title:<30} {time.perf_counter() - start:4.0f} s", flush=True)
