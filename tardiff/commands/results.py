"""What synthetic records are worth, measured and drawn."""

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from tardiff.base.device import use_device
from tardiff.base.distributed import main_process
from tardiff.commands.options import Data, Device, Out, Threads, by_name, use_threads
from tardiff.commands.screen import Verbose, close, verdict
from tardiff.errors import TardiffError
from tardiff.settings import CompareSettings, EvaluateSettings, SiteSettings


def evaluate(
    real: Annotated[Path, arg(metavar="DATA")],
    synthetic: UseAppendAction[tuple[str, ...]],
    out: Out,
    test: Path | None = None,
    run: Path | None = None,
    classifier: UseAppendAction[tuple[str, ...]] = (),
    cache: Path | None = None,
    rules: Path | None = None,
    settings: OmitArgPrefixes[EvaluateSettings] = EvaluateSettings(),
    device: Device = "auto",
    verbose: Verbose = False,
) -> None:
    """Measure what synthetic data sets are worth: utility (of subgroups, too), fidelity, what gives records away, and privacy.

    Interrupted, the same command goes on from OUT.partial, which keeps what has been fitted.

    For instance:
      tardiff evaluate --real runs/p12/data --synthetic runs/p12/unguided --synthetic runs/p12/guided --out runs/p12/evaluation
      tardiff evaluate --real runs/p12/data --synthetic runs/p12/guided --quick --out runs/p12/first-look
      tardiff evaluate --real runs/p12/data --synthetic runs/p12/guided --run runs/p12/run --out runs/p12/attacked
      tardiff evaluate --real runs/p12/data --synthetic mine=mine.csv.gz --synthetic theirs=theirs.npz --out runs/p12/others
      tardiff evaluate --real runs/p12/data --synthetic runs/p12/guided --subgroups age sex --cache runs/fits --out runs/p12/groups
      tardiff evaluate --real runs/p12/data --synthetic runs/p12/guided --rules ward.yaml --out runs/p12/ruled

    Args:
        real: Dataset folder of real records with train, validation and test splits.
        synthetic: Synthetic data, as [NAME=]SYN; repeat for more. Differences are taken to the first one. SYN is a dataset folder, or a
            file of any other generator in physical units: a long table as `tardiff export` writes it (.csv, .csv.gz, .parquet), .npz
            with x [N, C, T] or [N, T, C] and label [N], .npy with labels in NAME.label.npy, or .pkl of such arrays, which is
            read without running it. docs/how-to/evaluate.md tells more.
        out: Folder to write metrics.json, table.txt, figures.json and figures to.
        test: Another dataset folder to test on: its test split, or its train split if it has no other.
        run: Pipeline folder of the generator, for membership attacks by reference models, which take up to eight times as long as its
            training did (with --quick a quarter of it).
        classifier: Classifier folder that guided it, as [NAME=]CLF, for attacks on its guidance rows; repeat for more.
        cache: Folder that keeps what is fitted for later evaluations, instead of OUT.partial, which is removed when OUT is there.
        rules: YAML file of clinical rules, checked in addition to the package's own, a line each, for instance
            "narrow pulse pressure: sbp - dbp < 25"; docs/reference/metrics.md tells more.
    """
    from data_prep.yaml_files import read_yaml
    from tardiff import evaluate as evaluation
    from tardiff.base.partial import partial_folder
    from tardiff.classifier.folder import ClassifierFolder
    from tardiff.data.dataset import Dataset
    from tardiff.evaluate.cache import Cache
    from tardiff.evaluate.readers import read_synthetic
    from tardiff.evaluate.realism import rules_of
    from tardiff.model.pipeline import TarDiffPipeline

    checked = rules_of(read_yaml(rules), str(rules)) if rules else {}
    named, guides = by_name("--synthetic", synthetic), by_name("--classifier", classifier)
    on = use_device(device)
    pipeline = TarDiffPipeline.from_pretrained(run).to(on) if run else None
    classifiers = {name: ClassifierFolder.load(path).to(on) for name, path in guides.items()}
    real_data = Dataset.load(real)
    sets = {name: read_synthetic(path, real_data) for name, path in named.items()}
    partial = partial_folder(out)
    result = evaluation.evaluate(real_data, sets, settings, test, cache or partial, pipeline, classifiers, checked)
    evaluation.write(result, out, real_data, sets)
    if cache is None and main_process():
        Cache(partial).clear()
    where = f"{out}/table.txt has every figure; `tardiff report {out} --out report.html` draws them"
    close([*map(verdict, evaluation.summary(result)), where], evaluation.table(result), verbose)


def report(
    evaluation: Annotated[Positional[Path], arg(metavar="EVAL")],
    out: Annotated[Path | None, arg(metavar="PATH")] = None,
    card: Annotated[Path | None, arg(metavar="FOLDER")] = None,
) -> None:
    """Draw an evaluation as one page that needs no network, or write its numbers into the card of the generator or of a set.

    For instance:
      tardiff report runs/p12/evaluation --out report.html
      tardiff report runs/p12/evaluation --card runs/p12/run

    Args:
        evaluation: Evaluation folder.
        out: HTML file to write (this, --card or both).
        card: Pipeline folder, whose README.md then has the numbers of the sets that it drew, or dataset folder of one of the sets; the
            rest of the file stays as it is.
    """
    from tardiff.report import report

    if out is None and card is None:
        raise TardiffError("nothing to write: give --out PATH for a page, --card RUN for a model card, or both")
    if out is not None:
        print(f"{report(evaluation, out, titles())}: open it in a browser")
    if card is not None:
        from tardiff.report.card import add_evaluation

        print(add_evaluation(card, evaluation))


def quiz(
    data: Data,
    synthetic: Annotated[Positional[Path], arg(metavar="SYN")],
    out: Annotated[Path, arg(metavar="PATH")],
    stays: int = 10,
    seed: int = 0,
) -> None:
    """Draw real and synthetic stays, shuffled, on a page for a person to guess which is which; the answers open on demand.

    Real stays come from the test split, or from the training split if there is no other. The page shows single patients: it is for those
    who may see them.

    For instance:
      tardiff quiz runs/p12/data runs/p12/guided --out quiz.html
      tardiff quiz runs/p12/data mine.csv.gz --stays 5 --seed 1 --out quiz.html

    Args:
        data: Dataset folder of real records.
        synthetic: Dataset folder of synthetic records, or a file as `tardiff evaluate` reads it.
        out: HTML file to write.
        stays: Stays of each kind.
        seed: Seed of the stays drawn and their order.
    """
    from tardiff.data.dataset import Dataset
    from tardiff.evaluate.readers import read_synthetic
    from tardiff.report.quiz import quiz

    real, known = Dataset.load(data), titles()
    named = {c.name: known[c.name, c.unit] for c in real.manifest.channels if (c.name, c.unit) in known}
    print(f"{quiz(real, read_synthetic(synthetic, real), out, stays, seed, named)}: open it in a browser")


def titles() -> dict[tuple[str, str], str]:
    """What the variables of the concept table are called, by name and unit."""
    from data_prep.concept_files import load_concepts

    return {(name, variable.unit): variable.label for name, variable in load_concepts().variables.items()}


def compare(
    data: Data,
    out: Out,
    run: Path | None = None,
    refined: Path | None = None,
    from_run: Annotated[Path | None, arg(name="from", metavar="RUN")] = None,
    from_classifier: Annotated[Path | None, arg(metavar="CLF")] = None,
    from_data: Annotated[Path | None, arg(metavar="REAL")] = None,
    settings: OmitArgPrefixes[CompareSettings] = CompareSettings(),
    sites: OmitArgPrefixes[SiteSettings] = SiteSettings(),
    threads: Threads = None,
    verbose: Verbose = False,
) -> None:
    """Compare ways of training on imbalanced rows, on your own data: class weights, SMOTE, synthetic rows and others.

    With --from it is a ladder of what another site sends: its classifier as it is, recalibrated and fine-tuned, and rows of its generator
    unguided, guided and adapted. Each is compared with local rows alone, and with how many more labelled local stays would do the
    same (docs/how-to/another-hospital.md).

    Interrupted, the same command goes on from OUT.partial. Writes metrics.json, results.jsonl, table.txt, forest.png and verdict.txt.

    For instance:
      tardiff compare runs/p12/data --model trees --out runs/p12/compare
      tardiff compare runs/p12/data --model gru --methods none,class_weight,guided --seeds 3 --out runs/p12/compare-gru
      tardiff compare runs/p12/data --model logistic --run runs/p12/run --by sex --on validation --out runs/p12/compare-sex
      tardiff compare runs/local/data --model trees --from runs/other --from-classifier runs/other-classifier --local 300 --out runs/sites

    Args:
        data: Dataset folder of real rows with two classes.
        out: Folder to write.
        run: Pipeline folder trained on DATA; without, every seed trains a small generator of its own.
        refined: Refined pipeline folder, for the method `refined`.
        from_run: Pipeline folder of another site, of the same task.
        from_classifier: Classifier folder of that site, fitted on the rows that its generator was trained on.
        from_data: Dataset folder of that site, whose training rows no receiver has: an upper bound.
    """
    if (from_run is None) != (from_classifier is None):
        raise TardiffError("--from and --from-classifier go together: the ladder compares what a generator and a classifier bring")
    use_threads(threads)
    from tardiff.classifier.folder import ClassifierFolder
    from tardiff.compare.run import Sent, compare
    from tardiff.compare.table import summary, table
    from tardiff.data.dataset import Dataset
    from tardiff.model.pipeline import TarDiffPipeline

    generator, better, other = (TarDiffPipeline.from_pretrained(path) if path else None for path in (run, refined, from_run))
    sent = None
    if other is not None and from_classifier is not None:
        sent = Sent(other, ClassifierFolder.load(from_classifier), Dataset.load(from_data) if from_data else None)
    say = (lambda line: print(line, flush=True)) if verbose else (lambda line: None)
    result = compare(Dataset.load(data), out, settings, generator, better, say, sent, sites)
    where = f"{out}/table.txt has every figure, forest.png the picture"
    close([*map(verdict, summary(result)), where], table(result), verbose)
