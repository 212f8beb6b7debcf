"""One command for each arrow of the data flow. Heavy modules are imported inside the commands, so `--help` is quick."""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from data_prep.settings import PrepareSettings, SimulateSettings
from tardiff.errors import TardiffError
from tardiff.processes import main_process
from tardiff.refine.settings import DiscriminatorSettings, PolicySettings, PPOSettings, RefineSettings
from tardiff.settings import (
    AugmentSettings,
    ClassifierSettings,
    CompareSettings,
    DemoSettings,
    EvaluateSettings,
    GuidanceSettings,
    SamplerSettings,
    SelectionSettings,
    TrainSettings,
)

Data = Annotated[Positional[Path], arg(metavar="DATA")]
Out = Annotated[Path, arg(metavar="PATH")]
Threads = Annotated[
    int | None,
    arg(metavar="N", help="Threads to compute with (default: the cores that idle now). Trained weights depend on it in their last digits."),
]


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
    guidance_rows: str = "all",
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
      tardiff fit-classifier data/p12 --out runs/p12-old --guidance-rows "age>=65"

    Args:
        data: Dataset folder.
        out: Classifier folder to write.
        guidance_set: Split whose rows guidance serves.
        guidance_rows: Which of them: all, minority (the rarest class), wrong (those that the classifier gets wrong), or a
            subgroup by a descriptor (sex=female, age>=65, age<40).
        run: Pipeline folder that the classifier shall guide, if it learnt from other rows than DATA's (without labels, say).
    """
    use_threads(threads)
    from tardiff import classifier_folder
    from tardiff.dataset import Dataset
    from tardiff.files import refuse_existing
    from tardiff.generators import load_generator
    from tardiff.progress import bar

    refuse_existing(out)
    codec = load_generator(run).codec if run else None
    with bar(total=settings.epochs, desc="fit", unit="epoch") as moved:

        def show(entry: dict[str, float]) -> None:
            moved.set_postfix(loss=f"{entry['loss']:.3f}", auprc=f"{entry['validation_auprc']:.3f}", refresh=False)
            moved.update()

        folder = classifier_folder.fit_classifier(Dataset.load(data), settings, guidance_set, show, codec, guidance_rows)
    folder.save(out)
    print(f"{out}: {settings.architecture}, best epoch {folder.card.epochs[-1]}, validation AUPRC {folder.card.validation_auprc:.3f}")


def sample(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Out,
    n: int,
    classifier: UseAppendAction[tuple[Path, ...]] = (),
    label_ratio: str = "train",
    relabel: bool = False,
    guidance: OmitArgPrefixes[GuidanceSettings] = GuidanceSettings(),
    sampler: OmitArgPrefixes[SamplerSettings] = SamplerSettings(),
    selection: OmitArgPrefixes[SelectionSettings] = SelectionSettings(),
    data: Path | None = None,
    privacy_filter: Path | None = None,
    descriptors: Path | None = None,
    seed: int = 0,
    threads: Threads = None,
) -> None:
    """Sample a synthetic data set, steered towards a classifier or not.

    Interrupted, the same command goes on from OUT.partial, where samples are put as they are drawn.

    For instance:
      tardiff sample runs/p12 --classifier runs/p12-gru --n 3200 --out data/guided
      tardiff sample runs/p12 --guidance none --n 3200 --label-ratio balanced --out data/unguided
      tardiff sample runs/p12 --guidance none --n 3200 --privacy-filter data/p12 --out data/filtered

    Args:
        run: Pipeline folder, or the folder of a record policy.
        out: Dataset folder to write; it has a training split only.
        n: Rows.
        classifier: Classifier folder that guidance serves; repeat for an ensemble.
        label_ratio: train (as in training), balanced, or the share of the last class (0.5).
        relabel: Let the classifiers say which samples get which label, as many of each as asked for; best for a generator that
            learnt without labels.
        data: Dataset folder whose validation rows choose the strength (`--strength auto`) or the samples (`--select shapley`).
        privacy_filter: Dataset folder that RUN was trained on. Samples closer to one of its training rows than the closest of its
            held-out rows (validation and test) are dropped, and others of further seeds drawn in their place.
        descriptors: Record policy of the same data (`tardiff train --model policy`) that draws the static descriptors.
        seed: Seed of labels and noise. Sample i depends on its label and the seed alone; --batch-size never changes it, and --n
            only through the labels.
    """
    use_threads(threads)
    from tardiff.classifier_folder import ClassifierFolder
    from tardiff.dataset import Dataset
    from tardiff.files import digest, refuse_existing
    from tardiff.generators import described, load_generator
    from tardiff.shelf import Shelf
    from tardiff.synthesis import synthesise

    refuse_existing(out)
    asked = {"n": n, "seed": seed, "label_ratio": label_ratio, "guidance": asdict(guidance), "selection": asdict(selection)}
    asked |= {"sampler": asdict(replace(sampler, batch_size=1))}  # which changes no sample
    asked |= {"made from": [digest(path) for path in (run, *classifier, descriptors, data) if path is not None]}
    shelf = Shelf(out.with_name(out.name + ".partial"), asked)
    generator = load_generator(run)
    result = synthesise(
        described(generator, load_generator(descriptors)) if descriptors else generator,
        n,
        classifier=[ClassifierFolder.load(path) for path in classifier],
        guidance=guidance,
        sampler=sampler,
        selection=selection,
        data=Dataset.load(data) if data else None,
        privacy_filter=Dataset.load(privacy_filter) if privacy_filter else None,
        label_ratio=label_ratio,
        relabel=relabel,
        seed=seed,
        shelf=shelf,
    )
    describe(result.dataset.save(out), out)
    shelf.clear()
    if result.choice is not None:
        print(result.choice)
    if result.dropped is not None:
        print(result.dropped)
    moved = result.movement
    if moved is not None:
        peak = max(moved.steps, key=lambda record: record["ratio"])
        print(
            f"guidance moved the values by {moved.value:.3f} sd and changed {moved.mask:.1%} of the observations ({moved.rows} samples "
            f"against unguided ones of the same seeds); the guide at most {peak['ratio']:.3f} of an update (step {peak['step']})"
        )
        print(f"decoding put {moved.repaired[0]:.2%} of the values back within limits or in order (unguided {moved.repaired[1]:.2%})")
        if moved.kept is not None:
            shares = ", ".join(
                f"{share:.0%} of {name}" for share, name in zip(moved.kept, result.dataset.manifest.task.classes, strict=True)
            )
            print(f"of the gap between guidance rows and unguided samples, this stands above chance and was followed: {shares}")
        if moved.inert:
            print("warning: guidance is inert: raise --strength or --window, or there is no gap to close", file=sys.stderr)


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
      tardiff diagnose data/guided --run runs/p12 --classifier runs/p12-gru --data data/p12 --out runs/diagnosis

    Args:
        synthetic: Dataset folder that `tardiff sample` wrote, guided.
        run: Pipeline folder that it was drawn by.
        classifier: Classifier folder that guided.
        data: Dataset folder of the real records.
        out: Folder to write.
        seed: Seed of rows, folds and intervals.
    """
    use_threads(threads)

    from tardiff.classifier_folder import ClassifierFolder
    from tardiff.dataset import Dataset
    from tardiff.diagnosis import diagnose
    from tardiff.diagnosis_plot import picture
    from tardiff.evaluate.plots import save_png
    from tardiff.files import new_folder, refuse_existing, write_json
    from tardiff.pipeline import TarDiffPipeline

    refuse_existing(out)
    opened = TarDiffPipeline.from_pretrained(run), ClassifierFolder.load(classifier), Dataset.load(data)
    diagnosis = diagnose(Dataset.load(synthetic), *opened, seed)
    with new_folder(out) as folder:
        write_json(folder / "diagnosis.json", asdict(diagnosis))
        save_png(picture(diagnosis), folder / "diagnosis.png")
    print(diagnosis)
    print(f"written to {out}")


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
    run: Path | None = None,
    classifier: UseAppendAction[tuple[str, ...]] = (),
    cache: Path | None = None,
    settings: OmitArgPrefixes[EvaluateSettings] = EvaluateSettings(),
) -> None:
    """Measure what synthetic data sets are worth: utility (of subgroups, too), fidelity and privacy, with 95 % intervals.

    Interrupted, the same command goes on from OUT.partial, which keeps what has been fitted.

    For instance:
      tardiff evaluate --real data/p12 --synthetic unguided=data/unguided --synthetic guided=data/guided --out runs/evaluation
      tardiff evaluate --real data/p12 --synthetic data/guided --quick --out runs/first-look
      tardiff evaluate --real data/p12 --synthetic data/guided --run runs/p12 --classifier runs/p12-gru --out runs/attacked
      tardiff evaluate --real data/p12 --synthetic mine=mine.csv.gz --synthetic theirs=theirs.npz --out runs/others
      tardiff evaluate --real data/p12 --synthetic data/guided --subgroups age sex --cache runs/fits --out runs/groups

    Args:
        real: Dataset folder of real records with train, validation and test splits.
        synthetic: Synthetic data, as [NAME=]SYN; repeat for more. Differences are taken to the first one. SYN is a dataset folder, or a
            file of any other generator in physical units: a long table as `tardiff export` writes it (.csv, .csv.gz, .parquet), .npz
            with x [N, C, T] or [N, T, C] and label [N], .npy with labels in NAME.label.npy, or .pkl of such arrays, which is
            read without running it. docs/evaluate.md tells more.
        out: Folder to write metrics.json, table.txt, figures.json and figures to.
        test: Another dataset folder to test on: its test split, or its train split if it has no other.
        run: Pipeline folder of the generator, for membership attacks that see the model (likelihoods take minutes).
        classifier: Classifier folder that guided it, as [NAME=]CLF, for attacks on its guidance rows; repeat for more.
        cache: Folder that keeps what is fitted for later evaluations, instead of OUT.partial, which goes when OUT is there.
    """
    from tardiff import evaluate as evaluation
    from tardiff.classifier_folder import ClassifierFolder
    from tardiff.dataset import Dataset
    from tardiff.evaluate.cache import Cache
    from tardiff.evaluate.readers import read_synthetic
    from tardiff.files import refuse_existing
    from tardiff.pipeline import TarDiffPipeline

    refuse_existing(out)
    named, guides = by_name("--synthetic", synthetic), by_name("--classifier", classifier)
    pipeline = TarDiffPipeline.from_pretrained(run) if run else None
    classifiers = {name: ClassifierFolder.load(path) for name, path in guides.items()}
    real_data = Dataset.load(real)
    sets = {name: read_synthetic(path, real_data) for name, path in named.items()}
    partial = out.with_name(out.name + ".partial")
    result = evaluation.evaluate(real_data, sets, settings, test, cache or partial, pipeline, classifiers)
    evaluation.write(result, out, real_data, sets)
    if cache is None and main_process():
        Cache(partial).clear()
    print(evaluation.table(result))
    print(f"\nwritten to {out}")


def report(
    evaluation: Annotated[Positional[Path], arg(metavar="EVAL")],
    out: Annotated[Path | None, arg(metavar="PATH")] = None,
    card: Annotated[Path | None, arg(metavar="RUN")] = None,
) -> None:
    """Draw an evaluation as one page that needs no network, or write its numbers into the card of the generator.

    For instance:
      tardiff report runs/evaluation --out report.html
      tardiff report runs/evaluation --card runs/p12

    Args:
        evaluation: Evaluation folder.
        out: HTML file to write.
        card: Pipeline folder whose README.md shall show the numbers of the sets that it drew; the rest of the file stays as it is.
    """
    from tardiff.model_card import add_evaluation
    from tardiff.report import report
    from tardiff.report.evaluation import Evaluation, as_written

    if out is None and card is None:
        raise TardiffError("nothing to write: give --out PATH for a page, --card RUN for a model card, or both")
    if out is not None:
        print(f"{report(evaluation, out)}: open it in a browser")
    if card is not None:
        with as_written(evaluation):
            print(add_evaluation(card, Evaluation.load(evaluation).result))


def augment(
    data: Data,
    out: Out,
    classifier: UseAppendAction[tuple[Path, ...]] = (),
    run: Path | None = None,
    settings: OmitArgPrefixes[AugmentSettings] = AugmentSettings(),
    threads: Threads = None,
) -> None:
    """Fill up the rare classes of a training split with synthetic rows, which are marked as such.

    For instance:
      tardiff augment data/p12 --ratio 0.5 --out data/p12-augmented
      tardiff augment data/p12 --classifier runs/p12-gru --run runs/p12 --out data/p12-guided
      tardiff augment data/p12 --subgroup "age>=65" --out data/p12-old

    Args:
        data: Dataset folder.
        out: Dataset folder to write; validation and test rows are carried over untouched.
        classifier: Classifier folder that guides; repeat for an ensemble. Without, a committee is fitted on the training rows.
        run: Pipeline folder trained on DATA. Without, a small generator is trained.
    """
    use_threads(threads)
    from tardiff.augment.run import augment
    from tardiff.classifier_folder import ClassifierFolder
    from tardiff.dataset import Dataset
    from tardiff.files import refuse_existing
    from tardiff.pipeline import TarDiffPipeline

    refuse_existing(out)
    folders = [ClassifierFolder.load(path) for path in classifier]
    result, made = augment(Dataset.load(data), settings, folders, TarDiffPipeline.from_pretrained(run) if run else None)
    describe(result.save(out), out)
    print(f"  {len(made.rows):,} of the training rows are synthetic (array `synthetic` of train.safetensors)")
    if made.movement is not None:
        print(f"guidance moved the values by {made.movement.value:.3f} sd and changed {made.movement.mask:.1%} of the observations")


def compare(
    data: Data,
    out: Out,
    run: Path | None = None,
    refined: Path | None = None,
    settings: OmitArgPrefixes[CompareSettings] = CompareSettings(),
    threads: Threads = None,
) -> None:
    """Compare ways of training on imbalanced rows, on your own data: class weights, SMOTE, synthetic rows and others.

    Interrupted, the same command goes on from OUT.partial. Writes metrics.json, results.jsonl, table.txt, forest.png and verdict.txt.

    For instance:
      tardiff compare data/p12 --model trees --out runs/compare
      tardiff compare data/p12 --model gru --methods none,class_weight,guided --seeds 3 --out runs/compare-gru
      tardiff compare data/p12 --model logistic --run runs/p12 --by sex --on validation --out runs/compare-sex

    Args:
        data: Dataset folder of real rows with two classes.
        out: Folder to write.
        run: Pipeline folder trained on DATA; without, every seed trains a small generator of its own.
        refined: Refined pipeline folder, for the method `refined`.
    """
    use_threads(threads)
    from tardiff.augment.compare import compare
    from tardiff.augment.compare_table import table
    from tardiff.dataset import Dataset
    from tardiff.pipeline import TarDiffPipeline

    generator, better = (TarDiffPipeline.from_pretrained(path) if path else None for path in (run, refined))
    result = compare(Dataset.load(data), out, settings, generator, better, say=lambda line: print(line, flush=True))
    print(f"\n{table(result)}\nwritten to {out}")


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
    """Limit every numerical library to so many threads, by default the free cores; to be called before they are imported.

    Raises:
        TardiffError: fewer than one.
    """
    if threads is not None and threads < 1:
        raise TardiffError(f"--threads {threads}: at least one is needed")
    if threads is not None or "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads or free_cores())


def free_cores(seconds: float = 0.1) -> int:
    """Cores that this process may use and that idle now, at least one.

    Threads that wait for each other on a busy core slow each other many times over, so fewer are faster.
    """
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    idle = sum(100 - busy for busy in psutil.cpu_percent(seconds, percpu=True)) / 100
    return max(1, min(allowed, round(idle)))


def name_and_path(item: str) -> tuple[str, Path]:
    """`NAME=PATH`, or a path that is named after its last part."""
    name, equals, path = item.partition("=")
    return (name, Path(path)) if equals else (Path(item).name, Path(item))


def by_name(option: str, items: tuple[str, ...]) -> dict[str, Path]:
    """The paths of an option that is repeated, by name.

    Raises:
        TardiffError: two have the same name.
    """
    named = dict(name_and_path(item) for item in items)
    if len(named) < len(items):
        raise TardiffError(f"{option}: two folders have the same name; give names as NAME=PATH")
    return named


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
    "diagnose": diagnose,
    "augment": augment,
    "compare": compare,
    "refine": refine,
    "evaluate": evaluate,
    "report": report,
    "export": export,
    "demo": demo,
}
