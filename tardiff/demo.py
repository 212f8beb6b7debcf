"""The six steps in a row, ending in a page to look at."""

import base64
import html
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tardiff import evaluate as evaluation
from tardiff.classifier_folder import fit_classifier
from tardiff.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.files import new_folder, replace_file
from tardiff.settings import ClassifierSettings, DemoSettings, EvaluateSettings, GuidanceSettings, TrainSettings
from tardiff.synthesis import synthesise
from tardiff.training import train

FOLDERS = {"physionet2012": "physionet2012", "mimic-iv": "mimic-iv-demo-2.2"}
TRAINING = TrainSettings(steps=1000, blocks=1, validate_every=250, ema_decay=0.995)


def demo(out: str | Path, settings: DemoSettings) -> Path:
    """Prepare, train, fit a classifier, sample unguided and guided, evaluate; returns the page.

    Args:
        out: folder to write everything to, whole or not at all.
        settings: source of the records and seed.

    Raises:
        TardiffError: `out` exists, or the records are not there.
    """
    from data_prep import PrepareSettings, prepare

    raw = _raw(settings)
    out = Path(out)
    with new_folder(out) as folder:
        with _step(1, f"prepare {settings.data}"):
            data = prepare(PrepareSettings(source=settings.data, raw=raw, out=folder / "data", seed=settings.seed))
        with _step(2, "train the diffusion model"):
            pipeline = train(data, folder / "run", replace(TRAINING, seed=settings.seed))
        with _step(3, "fit the classifier"):
            classifier = fit_classifier(data, ClassifierSettings(seed=settings.seed))
            classifier.save(folder / "classifier")
        synthetic = {}
        for number, name, guidance in ((4, "unguided", GuidanceSettings(guidance="none")), (5, "guided", GuidanceSettings())):
            with _step(number, f"sample {name}"):
                result = synthesise(
                    pipeline,
                    len(data.train),
                    classifier=classifier,
                    guidance=guidance,
                    seed=settings.seed,
                )
                synthetic[name] = result.dataset.save(folder / name)
        moved = result.movement
        with _step(6, "evaluate"):
            figures = evaluation.evaluate(data, synthetic, EvaluateSettings(quick=True, seed=settings.seed))
            evaluation.write(figures, folder / "evaluation", data, synthetic)
        page = folder / "index.html"
        replace_file(page, _page(settings, data, figures, moved, folder / "evaluation"))
    print("\n" + evaluation.table(figures))
    for path in sorted(out.iterdir()):
        print(f"  {path}")
    print(f"\nlook at {out / 'index.html'}")
    return out / "index.html"


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
    print(f"[{number}/6] {title}", flush=True)
    start = time.perf_counter()
    yield
    print(f"      {time.perf_counter() - start:.0f} s", flush=True)


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>tardiff demo</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }}
img {{ max-width: 100%; background: white; border-radius: 4px }}
pre {{ overflow-x: auto; font-size: 13px }}
</style>
<h1>What are synthetic patients worth?</h1>
<p>{summary}</p>
<h2>Real beside synthetic patients</h2>
<img alt="Trajectories of real and synthetic patients" src="data:image/png;base64,{trajectories}">
<h2>Classifiers trained on synthetic patients, tested on real ones</h2>
<img alt="AUPRC and AUROC with intervals" src="data:image/png;base64,{utility}">
<pre>{table}</pre>
<p>{caveat}</p>
</html>
"""


def _page(settings: DemoSettings, data: Dataset, figures: dict[str, Any], moved: Any, evaluated: Path) -> str:
    images = {name: base64.b64encode((evaluated / f"{name}.png").read_bytes()).decode() for name in ("trajectories", "utility")}
    task = data.manifest.task
    summary = (
        f"A diffusion model learnt {len(data.train):,} stays (source: {data.manifest.source}) and drew as many synthetic ones twice: "
        f"unguided, and guided by the influence of each sample on a classifier of {task.name} ({task.rule}). "
        f"Guidance moved the values by {moved.value:.3f} standard deviations and changed {moved.mask:.1%} of the observations."
    )
    caveat = (
        "This is a quick look: a small model, two fits a cell, one sampling seed. Train longer and evaluate with five seeds before you "
        "conclude anything." + (" The patients of this demo are simulated." if settings.data == "simulate" else "")
    )
    return PAGE.format(summary=html.escape(summary), table=html.escape(evaluation.table(figures)), caveat=html.escape(caveat), **images)
