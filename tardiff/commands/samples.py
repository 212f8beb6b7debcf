"""From models to synthetic records, and what guidance did to them."""

import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from tardiff.base.device import use_device
from tardiff.commands.options import Data, Device, Out, Threads, described, use_threads
from tardiff.commands.screen import Verbose, close
from tardiff.settings import AugmentSettings, GuidanceSettings, SamplerSettings, SelectionSettings


def sample(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Out,
    n: int,
    classifier: UseAppendAction[tuple[Path, ...]] = (),
    label_ratio: str = "train",
    relabel: bool = False,
    guidance: OmitArgPrefixes[GuidanceSettings] = GuidanceSettings(),
    guidance_data: Path | None = None,
    guidance_rows: str = "all",
    sampler: OmitArgPrefixes[SamplerSettings] = SamplerSettings(),
    selection: OmitArgPrefixes[SelectionSettings] = SelectionSettings(),
    privacy_filter: Path | None = None,
    privacy_quantile: float = 0.01,
    descriptors: Path | None = None,
    seed: int = 0,
    device: Device = "auto",
    threads: Threads = None,
    verbose: Verbose = False,
) -> None:
    """Sample a synthetic data set, steered towards a classifier or not.

    Interrupted, the same command goes on from OUT.partial, where samples are put as they are drawn.

    For instance:
      tardiff sample runs/p12/run --classifier runs/p12/classifier --n 3140 --out runs/p12/guided
      tardiff sample runs/p12/run --guidance none --n 3140 --label-ratio balanced --out runs/p12/unguided
      tardiff sample runs/p12/run --guidance none --n 3140 --privacy-filter runs/p12/data --out runs/p12/filtered
      tardiff sample runs/p12/run --classifier runs/p12/classifier --objective cosine=1 --guidance-data local --n 3140 --out runs/p12/aimed
      tardiff sample runs/rows --guidance none --n 3200 --out data/rows

    Args:
        run: Folder of a diffusion pipeline, of a record policy, or of a language model, whose samples are rows: data of one step.
        out: Dataset folder to write; it has a training split only.
        n: Number of rows.
        classifier: Classifier folder that guidance serves; repeat for an ensemble.
        guidance_data: Dataset folder, of another hospital say, whose training rows the objectives cosine, raw and contrastive serve in
            place of those that CLASSIFIER was fitted with.
        guidance_rows: Which of them: all, minority, wrong, or a subgroup (age>=65), as `tardiff fit-classifier` reads it.
        label_ratio: train (as in training), balanced, or the share of the last class (0.5).
        relabel: Let the classifiers say which samples get which label, as many of each as asked for; best for a generator that
            learnt without labels.
        privacy_filter: Dataset folder that RUN was trained on. Samples nearer to one of its training rows, in values or in charting, than
            nearly all of its held-out rows (validation and test) are dropped, and others of further seeds drawn in their place.
        privacy_quantile: Share of held-out rows that are nearer to a training row than a sample may be.
        descriptors: Language model or record policy of the same data (`tardiff train --model language` or policy) that draws the static
            descriptors, on which the records are then conditioned.
        seed: Seed of labels and noise. Sample i depends on its label and the seed alone; --batch-size never changes it, and --n
            only through the labels.
    """
    use_threads(threads)
    on = use_device(device)
    from tardiff.base.files import KEPT, digest
    from tardiff.base.partial import partial_folder
    from tardiff.classifier.folder import ClassifierFolder
    from tardiff.data.dataset import Dataset
    from tardiff.refine.load import described as with_descriptors
    from tardiff.refine.load import load_generator
    from tardiff.synthesis import synthesise
    from tardiff.synthesis.sample_store import SampleStore

    steered: dict[str, Any] = {"guidance": asdict(guidance), "guidance_rows": guidance_rows}
    steered |= {"sampler": asdict(replace(sampler, batch_size=1))}  # which changes no sample
    steered |= {"made by": [digest(path) for path in (run, *classifier, descriptors, guidance_data) if path is not None]}
    kept = run / KEPT / f"match-{hashlib.sha256(json.dumps(steered).encode()).hexdigest()[:16]}.json"
    known = kept.exists()
    asked = steered | {"n": n, "seed": seed, "label_ratio": label_ratio, "selection": asdict(selection), "device": on.type}
    store = SampleStore(partial_folder(out), asked)
    generator = load_generator(run).to(on)
    result = synthesise(
        with_descriptors(generator, load_generator(descriptors).to(on)) if descriptors else generator,
        n,
        classifier=[ClassifierFolder.load(path) for path in classifier],
        guidance=guidance,
        guidance_data=Dataset.load(guidance_data) if guidance_data else None,
        guidance_rows=guidance_rows,
        sampler=sampler,
        selection=selection,
        privacy_filter=generator.reads(Dataset.load(privacy_filter)) if privacy_filter else None,
        privacy_quantile=privacy_quantile,
        label_ratio=label_ratio,
        relabel=relabel,
        seed=seed,
        store=store,
        kept_match=None if generator.card.privacy else kept,  # it tells of training rows, without noise
    )
    lines = described(result.dataset.save(out), out)
    store.clear()
    if result.match is not None:
        lines.append(result.match.found)
        if kept.exists():
            lines.append(f"({'measured before; read from' if known else 'kept in'} {kept})")
    if result.dropped is not None:
        lines.append(str(result.dropped))
    moved = result.movement
    if moved is not None and (result.match is None or result.match.guides):
        peak = max(moved.steps, key=lambda record: record["ratio"])
        most = f", the classifier most in step {peak['step']}: {peak['ratio']:.3f} of the sampler's own change" if peak["ratio"] else ""
        lines += [
            f"guidance moved the values by {moved.value:.3f} sd ({moved.rows} samples against unguided ones of the same seeds){most}",
            f"decoding put {moved.repaired[0]:.2%} of the values back within limits or in order (unguided {moved.repaired[1]:.2%})",
        ]
        if moved.inert:
            print("warning: guidance is inert: raise --strength or --window", file=sys.stderr)
    close(lines, str(result.match or ""), verbose)


def diagnose(
    synthetic: Annotated[Positional[Path], arg(metavar="SYN")],
    run: Path,
    classifier: Path,
    data: Path,
    out: Out,
    seed: int = 0,
    threads: Threads = None,
) -> None:
    """Look at what guidance did to a synthetic data set: how far and in which steps, whether its influence is real, what trace it left.

    Writes diagnosis.json and diagnosis.png: the guide's change step by step; the predicted against the realised fall of the
    guidance loss when the classifier takes one small step on a sample; and how well the label can be read from guided and from
    unguided samples of the same seeds, in the directions of most and of little variance. A label that guidance has made readable
    in directions of little variance is a shortcut: confine the guide to earlier steps (--window), or weaken it (--strength).

    For instance:
      tardiff diagnose runs/p12/guided --run runs/p12/run --classifier runs/p12/classifier --data runs/p12/data --out runs/p12/diagnosis

    Args:
        synthetic: Dataset folder that `tardiff sample` wrote, guided.
        run: Pipeline folder that it was drawn by.
        classifier: Classifier folder that guided.
        data: Dataset folder of the real records.
        out: Folder to write.
        seed: Seed of rows, folds and intervals.
    """
    use_threads(threads)
    from tardiff.base.files import new_folder, write_json
    from tardiff.classifier.folder import ClassifierFolder
    from tardiff.data.dataset import Dataset
    from tardiff.evaluate.plots import save_png
    from tardiff.model.pipeline import TarDiffPipeline
    from tardiff.synthesis.diagnosis import diagnose
    from tardiff.synthesis.diagnosis_plot import picture

    opened = TarDiffPipeline.from_pretrained(run), ClassifierFolder.load(classifier), Dataset.load(data)
    diagnosis = diagnose(Dataset.load(synthetic), *opened, seed)
    with new_folder(out) as folder:
        write_json(folder / "diagnosis.json", asdict(diagnosis))
        save_png(picture(diagnosis), folder / "diagnosis.png")
    print(diagnosis)
    print(f"written to {out}")


def augment(
    data: Data,
    out: Out,
    classifier: UseAppendAction[tuple[Path, ...]] = (),
    run: Path | None = None,
    settings: OmitArgPrefixes[AugmentSettings] = AugmentSettings(),
    threads: Threads = None,
    verbose: Verbose = False,
) -> None:
    """Add synthetic rows, marked as such, to the rare classes of a training split, if that helps.

    By default rows must help models on held-out training rows by more than the standard error; otherwise OUT holds the rows as they were.

    For instance:
      tardiff augment runs/p12/data --ratio 0.5 --out runs/p12/augmented
      tardiff augment runs/p12/data --no-gate --out runs/p12/unchecked
      tardiff augment runs/p12/data --classifier runs/p12/classifier --run runs/p12/run --no-gate --out runs/p12/augmented-guided
      tardiff augment runs/p12/data --subgroup "age>=65" --out runs/p12/augmented-old

    Args:
        data: Dataset folder.
        out: Dataset folder to write; validation and test rows are carried over untouched.
        classifier: Classifier folder that guides; repeat for an ensemble. Without, a committee is fitted on the training rows.
        run: Pipeline folder trained on DATA. Without, a small generator is trained.
    """
    use_threads(threads)
    from tardiff.augment.run import augment
    from tardiff.classifier.folder import ClassifierFolder
    from tardiff.data.dataset import Dataset
    from tardiff.model.pipeline import TarDiffPipeline

    folders = [ClassifierFolder.load(path) for path in classifier]
    result = augment(Dataset.load(data), settings, folders, TarDiffPipeline.from_pretrained(run) if run else None)
    every = described(result.data.save(out), out)
    added = sum(len(made.rows) for made in result.made)
    made = [f"  {added:,} of the training rows are synthetic (array `synthetic` of train.safetensors)"] if added else []
    moved = [made.movement.value for made in result.made if made.movement is not None]
    if moved:
        made.append(f"guidance moved the values by {', '.join(f'{value:.3f}' for value in moved)} sd")
    made += [some.match.found for some in result.made if some.match is not None]
    gate = [] if result.gate is None else [str(result.gate)]
    splits = every[-len(result.data.manifest.splits) :]
    close([*(every if verbose else [every[0], *splits]), *made, *gate], verbose=verbose)
