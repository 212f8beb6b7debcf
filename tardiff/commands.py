"""One command for each arrow of the data flow. Heavy modules are imported inside the commands, so `--help` is quick."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from data_prep.settings import PrepareSettings, SimulateSettings
from tardiff.errors import TardiffError
from tardiff.refine.settings import DiscriminatorSettings, PolicySettings, PPOSettings, RefineSettings
from tardiff.settings import (
    ClassifierSettings,
    DemoSettings,
    EvaluateSettings,
    GuidanceSettings,
    SamplerSettings,
    SelectionSettings,
    TrainSettings,
)

Data = Annotated[Positional[Path], arg(metavar="DATA")]
Out = Annotated[Path, arg(metavar="PATH")]
Threads = Annotated[int | None, arg(metavar="N", help="Threads to compute with (default: one for each core).")]


def prepare(settings: OmitArgPrefixes[PrepareSettings]) -> None:
    """Turn raw ICU records into a dataset folder.

    SOURCE is mimic-iv, eicu, physionet2012 or physionet2019 (PhysioNet/CinC Challenges), meds, yaib, table (any long table with
    a table.yaml), or simulate, which writes MIMIC-IV-shaped tables of made-up patients and prepares those.

    For instance:
      tardiff prepare physionet2012 --raw physionet2012/ --split by-set --out data/p12
      tardiff prepare mimic-iv --raw mimic-iv-demo-2.2/ --out data/demo
      tardiff prepare meds --raw mimic-iv-meds/ --split publisher --out data/meds
      tardiff prepare table --raw my-hospital/ --variables all --out data/mine
      tardiff prepare simulate --stays 3000 --out data/simulated
    """
    from data_prep import prepare

    describe(prepare(settings), settings.out)


def simulate(settings: OmitArgPrefixes[SimulateSettings]) -> None:
    """Write raw tables in the shape of MIMIC-IV, of patients who do not exist, with the oddities of the real tables.

    Any size in constant memory: 10,000 stays with --ballast 8 are 50 million rows of chartevents, in under two minutes.

    For instance:
      tardiff simulate --stays 3000 --out raw/simulated
      tardiff simulate --stays 10000 --ballast 8 --seed 1 --out raw/large
    """
    from data_prep.simulate import simulate

    rows = simulate(settings.out, settings.stays, settings.seed, settings.ballast)
    print(f"{settings.out}: {settings.stays:,} stays")
    for table, n in rows.items():
        print(f"  {n:>13,} rows  {table}")


def variables(source: Annotated[Positional[str | None], arg(metavar="SOURCE")] = None, concepts: Path | None = None) -> None:
    """List the variables that can be prepared: meaning, unit, plausible range, and where a source keeps them.

    The dictionary is a YAML file, and a file of your own is merged over it (here, and by `tardiff prepare --concepts`). This
    one adds a variable of MIMIC-IV and narrows the range of another:

      variables:
        ldh: {label: Lactate dehydrogenase, unit: IU/L, limits: [1, 50000], limits_from: our laboratory, aggregation: last, normal: 200}
        hr: {limits: [20, 250], limits_from: our monitors}
      found:
        mimic_iv:
          ldh: {table: labevents, item: 50954, label: Lactate Dehydrogenase (LD)}

    The built-in file, data_prep/concepts.yaml, begins with what every field means; docs/variables.md tells the rules.

    For instance:
      tardiff variables mimic-iv
      tardiff variables mimic-iv --concepts my.yaml

    Args:
        source: List what this source has, with its items, and what the words of --variables choose; without it, everything.
        concepts: A dictionary of your own.
    """
    from data_prep.concept_files import load_concepts
    from data_prep.variables import listing

    print(listing(load_concepts(concepts), source))


def audit(data: Data, run: UseAppendAction[tuple[Path, ...]] = (), json: Path | None = None, seed: int = 0) -> None:
    """Look for leaks in a dataset folder: what would make a model look better than it is.

    Checks for patients in two splits, records that occur twice, values after the cutoff, statistics taken from test rows, rules
    of the cohort that look ahead, class balance and missingness by split; and shows how far the mask alone, the length alone and
    the time of the prediction alone predict the label on validation rows. Exit status 1 if there is a trap.

    For instance:
      tardiff audit data/p12 --json p12-audit.json
      tardiff audit data/p12 --run runs/p12 --run runs/p12-gru

    Args:
        data: Dataset folder.
        run: Pipeline or classifier folder that was made from it; repeat for more. What it fitted must come from training rows.
        json: File to write the findings to.
        seed: Seed of the intervals.
    """
    from dataclasses import asdict

    from tardiff.audit import audit, table
    from tardiff.files import refuse_existing, write_json

    if json is not None:
        refuse_existing(json)
    findings = audit(data, run, seed)
    if json is not None:
        write_json(json, [asdict(finding) for finding in findings])
    print(table(findings))
    if any(finding.status == "fail" for finding in findings):
        sys.exit(1)


def train(
    data: Data,
    out: Out,
    labels: bool = True,
    model: Literal["diffusion", "policy"] = "diffusion",
    settings: OmitArgPrefixes[TrainSettings] = TrainSettings(),
    policy: PolicySettings = PolicySettings(),
    threads: Threads = None,
) -> None:
    """Train a generator on a dataset folder and write a folder to sample from.

    Interrupted, the same command goes on from OUT.partial and ends in the same weights.

    For instance:
      tardiff train data/p12 --out runs/p12
      tardiff train data/p12 --out runs/small --steps 1000 --widths 32 64
      tardiff train data/few --model policy --out runs/policy --policy.iterations 200

    Args:
        data: Dataset folder.
        out: Pipeline folder to write.
        labels: Learn what each label looks like. Without, one generator serves many tasks: a guide gives its samples their label.
        model: `diffusion`; or `policy`, a record in one step, trained by PPO on a discriminator's rewards, for very small data. Of the
            options below a policy reads --seed and those that begin with --policy.
        policy: Of the record policy.
    """
    use_threads(threads)
    from tardiff.dataset import Dataset

    dataset = Dataset.load(data)
    dataset = dataset if labels else dataset.unlabelled()
    if model == "policy":
        from tardiff.refine import train_policy

        train_policy(dataset, out, policy, settings.seed)
        print(f"{out}: a record policy, {policy.iterations} iterations")
        return
    from tardiff.training import train

    pipeline = train(dataset, out, settings)
    last = pipeline.card.history[-1]
    print(f"{out}: {settings.steps} steps, " + ", ".join(f"{name.replace('_', ' ')} {last[name]:.3f}" for name in last if name != "step"))


def fit_classifier(
    data: Data,
    out: Out,
    guidance_set: Literal["train", "validation"] = "train",
    run: Path | None = None,
    settings: OmitArgPrefixes[ClassifierSettings] = ClassifierSettings(),
    threads: Threads = None,
) -> None:
    """Train the clinical model that the synthetic data shall serve.

    The folder also keeps checkpoints along its training and, for each, the gradients of the guidance rows, so that
    sampling needs no patient's record.

    For instance:
      tardiff fit-classifier data/p12 --out runs/p12-gru
      tardiff fit-classifier data/p12 --out runs/p12-tcn --architecture tcn --class-weights

    Args:
        data: Dataset folder.
        out: Classifier folder to write.
        guidance_set: Split whose rows guidance serves.
        run: Pipeline folder that the classifier shall guide, if it learnt from other rows than DATA's (without labels, say).
    """
    use_threads(threads)
    from tqdm import tqdm

    from tardiff import classifier_folder
    from tardiff.codec import Codec
    from tardiff.dataset import Dataset
    from tardiff.files import refuse_existing

    refuse_existing(out)
    codec = Codec.load(run / "codec.json") if run else None
    with tqdm(total=settings.epochs, desc="fit", unit="epoch") as bar:

        def show(entry: dict[str, float]) -> None:
            bar.set_postfix(loss=f"{entry['loss']:.3f}", auprc=f"{entry['validation_auprc']:.3f}", refresh=False)
            bar.update()

        folder = classifier_folder.fit_classifier(Dataset.load(data), settings, guidance_set, show, codec)
    folder.save(out)
    print(f"{out}: {settings.architecture}, best epoch {folder.card.epochs[-1]}, validation AUPRC {folder.card.validation_auprc:.3f}")


def sample(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Out,
    n: int,
    classifier: UseAppendAction[tuple[Path, ...]] = (),
    label_ratio: str = "train",
    guidance: OmitArgPrefixes[GuidanceSettings] = GuidanceSettings(),
    sampler: OmitArgPrefixes[SamplerSettings] = SamplerSettings(),
    selection: OmitArgPrefixes[SelectionSettings] = SelectionSettings(),
    data: Path | None = None,
    descriptors: Path | None = None,
    seed: int = 0,
    threads: Threads = None,
) -> None:
    """Sample a synthetic data set, steered towards a classifier or not.

    For instance:
      tardiff sample runs/p12 --classifier runs/p12-gru --n 3200 --out data/guided
      tardiff sample runs/p12 --guidance none --n 3200 --label-ratio balanced --out data/unguided

    Args:
        run: Pipeline folder, or the folder of a record policy.
        out: Dataset folder to write; it has a training split only.
        n: Rows.
        classifier: Classifier folder that guidance serves; repeat for an ensemble.
        label_ratio: train (as in training), balanced, or the share of the last class (0.5).
        data: Dataset folder whose validation rows choose the strength (`--strength auto`) or the samples (`--select shapley`).
        descriptors: Record policy of the same data (`tardiff train --model policy`) that draws the static descriptors.
        seed: Seed of labels and noise. Sample i depends on its label and the seed alone; --batch-size never changes it, and --n
            only through the labels.
    """
    use_threads(threads)
    from tardiff.classifier_folder import ClassifierFolder
    from tardiff.dataset import Dataset
    from tardiff.files import refuse_existing
    from tardiff.generators import described, load_generator
    from tardiff.synthesis import synthesise

    refuse_existing(out)
    generator = load_generator(run)
    result = synthesise(
        described(generator, load_generator(descriptors)) if descriptors else generator,
        n,
        classifier=[ClassifierFolder.load(path) for path in classifier],
        guidance=guidance,
        sampler=sampler,
        selection=selection,
        data=Dataset.load(data) if data else None,
        label_ratio=label_ratio,
        seed=seed,
    )
    describe(result.dataset.save(out), out)
    if result.choice is not None:
        print(result.choice)
    moved = result.movement
    if moved is not None:
        peak = max(moved.steps, key=lambda record: record["ratio"])
        print(
            f"guidance moved the values by {moved.value:.3f} sd and changed {moved.mask:.1%} of the observations ({moved.rows} samples "
            f"against unguided ones of the same seeds); at most {peak['ratio']:.3f} of an update (step {peak['step']})"
        )
        if moved.kept is not None:
            shares = ", ".join(
                f"{share:.0%} of {name}" for share, name in zip(moved.kept, result.dataset.manifest.task.classes, strict=True)
            )
            print(f"of the gap between guidance rows and unguided samples, this stands above chance and was followed: {shares}")
        if moved.inert:
            print("warning: guidance is inert: raise --strength or --window, or there is no gap to close", file=sys.stderr)


def refine(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    data: Path,
    out: Out,
    classifier: Path | None = None,
    settings: OmitArgPrefixes[RefineSettings] = RefineSettings(),
    ppo: OmitArgPrefixes[PPOSettings] = PPOSettings(),
    discriminator: DiscriminatorSettings = DiscriminatorSettings(),
    threads: Threads = None,
) -> None:
    """Refine a diffusion pipeline by rewards of its samples (PPO on the reverse steps) and write another pipeline folder.

    Validation rows check it on the way: it goes back where it is worse than its base, stops when it gets no better, and
    is not written if it is worse. Interrupted, the same command goes on from OUT.partial and ends in the same weights.

    For instance:
      tardiff refine runs/p12 --data data/p12 --out runs/refined
      tardiff refine runs/p12 --data data/p12 --classifier runs/p12-gru --rewards discriminator=1,influence=0.5 --out runs/aimed
      tardiff refine runs/p12 --data data/p12 --method awm --iterations 30 --out runs/awm

    Args:
        run: Pipeline folder to start from; it is left as it is.
        data: Dataset folder that it was trained on; validation rows check.
        out: Pipeline folder to write, with refinement.jsonl, refinement.json and refinement.png inside.
        classifier: Classifier folder that the rewards influence and value serve.
        discriminator: Of the network that judges.
    """
    use_threads(threads)
    from tardiff.classifier_folder import ClassifierFolder
    from tardiff.dataset import Dataset
    from tardiff.files import refuse_existing
    from tardiff.generators import load_generator
    from tardiff.pipeline import TarDiffPipeline
    from tardiff.refine import refine

    refuse_existing(out)
    pipeline = load_generator(run)
    if not isinstance(pipeline, TarDiffPipeline):
        raise TardiffError(f"{run}: a record policy is trained by rewards already; refine a diffusion pipeline")
    folder = ClassifierFolder.load(classifier) if classifier else None
    result = refine(pipeline, Dataset.load(data), out, settings, ppo, discriminator, folder)
    print(f"{out}: iteration {result.iteration} of {settings.iterations}, {result.verdict}")


def evaluate(
    real: Annotated[Path, arg(metavar="DATA")],
    synthetic: UseAppendAction[tuple[str, ...]],
    out: Out,
    test: Path | None = None,
    settings: OmitArgPrefixes[EvaluateSettings] = EvaluateSettings(),
) -> None:
    """Measure what synthetic data sets are worth: utility, fidelity and privacy, with 95 % intervals.

    For instance:
      tardiff evaluate --real data/p12 --synthetic unguided=data/unguided --synthetic guided=data/guided --out runs/evaluation
      tardiff evaluate --real data/p12 --synthetic data/guided --quick --out runs/first-look

    Args:
        real: Dataset folder of real records with train, validation and test splits.
        synthetic: Synthetic dataset folder, as [NAME=]SYN; repeat for more. Differences are taken to the first one.
        out: Folder to write metrics.json, table.txt and figures to.
        test: Another dataset folder to test on: its test split, or its train split if it has no other.
    """
    from tardiff import evaluate as evaluation
    from tardiff.dataset import Dataset
    from tardiff.files import refuse_existing

    refuse_existing(out)
    named = dict(name_and_path(item) for item in synthetic)
    if len(named) < len(synthetic):
        raise TardiffError("--synthetic: two data sets have the same name; give names as NAME=PATH")
    real_data, sets = Dataset.load(real), {name: Dataset.load(path) for name, path in named.items()}
    result = evaluation.evaluate(real_data, sets, settings, test)
    evaluation.write(result, out, real_data, sets)
    print(evaluation.table(result))
    print(f"\nwritten to {out}")


def export(data: Data, out: Out, format: Literal["table", "meds"] = "table") -> None:
    """Write a dataset folder as a long table (CSV or Parquet by the file's name), or as a MEDS 0.4 folder.

    Columns of the table: split, stay_id, label, hour (empty for a descriptor), variable, value. A MEDS folder goes back into
    a dataset folder with `tardiff prepare meds`.

    For instance:
      tardiff export data/guided --out guided.csv
      tardiff export data/guided --out guided.parquet
      tardiff export data/guided --format meds --out guided-meds

    Args:
        data: Dataset folder.
        out: File to write, ending in .csv, .csv.gz or .parquet; for MEDS, the folder to write.
        format: table or meds.
    """
    from tardiff.dataset import Dataset
    from tardiff.files import refuse_existing

    refuse_existing(out)
    dataset = Dataset.load(data)
    if format == "meds":
        from tardiff.meds import export_meds

        print(f"{out}: {export_meds(dataset, out):,} events")
        return
    print(f"{out}: {dataset.export(out):,} values")


def demo(out: Out, settings: OmitArgPrefixes[DemoSettings] = DemoSettings()) -> None:
    """Run the six steps in a row, from records to a page that shows what guided samples are worth. Takes about five minutes.

    For instance:
      tardiff demo --out runs/demo
      tardiff demo --data physionet2012 --raw physionet2012/ --out runs/demo-p12

    Args:
        out: Folder to write everything to.
    """
    from tardiff.demo import demo

    demo(out, settings)


def use_threads(threads: int | None) -> None:
    """Limit every numerical library to so many threads; to be called before they are imported."""
    if threads is None:
        return
    if threads < 1:
        raise TardiffError(f"--threads {threads}: at least one is needed")
    os.environ["OMP_NUM_THREADS"] = str(threads)


def name_and_path(item: str) -> tuple[str, Path]:
    """`NAME=PATH`, or a path that is named after its last part."""
    name, equals, path = item.partition("=")
    return (name, Path(path)) if equals else (Path(item).name, Path(item))


def describe(dataset: Any, path: str | Path) -> None:
    """Print what a dataset folder holds."""
    manifest = dataset.manifest
    kind = "synthetic, " if manifest.synthetic else ""
    print(
        f"{path}: {kind}{manifest.task.name} from {manifest.source} {manifest.source_version}, "
        f"{len(manifest.channels)} channels x {manifest.steps} steps of {manifest.step_hours:g} h"
    )
    for step in manifest.attrition:
        print(f"  {step.stays:>8,} stays {step.subjects:>8,} patients  {step.rule}{'  [looks ahead]' if step.looks_ahead else ''}")
    for name, info in manifest.splits.items():
        counts = ", ".join(f"{n:,} {c}" for n, c in zip(info.classes, manifest.task.classes, strict=True))
        print(f"  {name:<10} {info.rows:>8,} rows: {counts}")


COMMANDS: dict[str, Callable[..., None]] = {
    "simulate": simulate,
    "variables": variables,
    "prepare": prepare,
    "audit": audit,
    "train": train,
    "fit-classifier": fit_classifier,
    "sample": sample,
    "refine": refine,
    "evaluate": evaluate,
    "export": export,
    "demo": demo,
}
