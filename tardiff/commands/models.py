"""From dataset folders to models: generators, refined ones, classifiers."""

from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from tardiff.base.device import use_device
from tardiff.commands.options import Data, Device, Out, Threads, use_threads
from tardiff.errors import TardiffError
from tardiff.refine.settings import DiscriminatorSettings, LanguageSettings, PolicySettings, PPOSettings, RefineSettings
from tardiff.settings import AdaptSettings, ClassifierSettings, TrainSettings

RISEN = 1.01
"""A validation loss above its least by this factor has risen, and the weights, those of the last step, know rows by heart."""


def train(
    data: Data,
    out: Out,
    labels: bool = True,
    model: Literal["diffusion", "policy", "language"] = "diffusion",
    settings: OmitArgPrefixes[TrainSettings] = TrainSettings(),
    policy_settings: Annotated[Path | None, arg(metavar="FILE")] = None,
    language_model: Annotated[str | None, arg(metavar="NAME-OR-FOLDER")] = None,
    language: LanguageSettings = LanguageSettings(),
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train a generator on a dataset folder and write a folder to sample from.

    Interrupted, the same command goes on from OUT.partial and ends in the same weights.

    For instance:
      tardiff train runs/p12/data --out runs/p12/run
      tardiff train runs/p12/data --out runs/p12/small --steps 1000 --widths 32 64
      tardiff train data/few --model policy --policy-settings policy.yaml --out runs/policy
      tardiff train runs/p12/data --model language --out runs/p12/rows

    Args:
        data: Dataset folder.
        out: Pipeline folder to write.
        labels: Learn what each label looks like. Without, one generator serves many tasks: a guide gives its samples their label.
        model: `diffusion`; or `policy`, a record in one step, trained by PPO on a discriminator's rewards, for few stays of few numbers
            each; or `language`, a language model of rows (descriptors, and of each channel the mean and the worst value of the window), for
            rows or for descriptors of records (docs/how-to/rows.md). Of the other options a policy takes --seed and
            --policy-settings, a language model --seed, --language-model and --language.*; it needs 'tardiff[language]'.
        policy_settings: YAML with settings of the record policy that differ from the defaults (docs/explanation/ppo.md shows all of them).
        language_model: Causal model of transformers to fine-tune by LoRA: a folder of it (safetensors, or one .gguf file), an installed
            package that is such a folder, or a name. By default a small one is trained from scratch.
        language: The language model of rows.
    """
    policy = _read_policy_settings(policy_settings)
    use_threads(threads)
    use_device(device)
    from tardiff.data.dataset import Dataset

    dataset = Dataset.load(data)
    dataset = dataset if labels else dataset.unlabelled()
    if model == "policy":
        from tardiff.refine import train_policy

        train_policy(dataset, out, policy, settings.seed)
        print(f"{out}: a record policy, {policy.iterations} iterations")
        return
    if model == "language":
        from tardiff.refine import train_language

        best = min(train_language(dataset, out, language, language_model, settings.seed).card.history, key=lambda of: of["validation_loss"])
        print(f"{out}: a language model of rows, best after step {best['step']:,}: loss a field {best['validation_loss']:.3f}")
        return
    from tardiff.model.training import train

    pipeline = train(dataset, out, settings)
    last = pipeline.card.history[-1]
    losses = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in last.items() if name != "step"]
    print(f"{out}: " + ", ".join([f"{settings.steps} steps", *losses]))
    step, least = min(((entry["step"], entry.get("validation_loss", 0.0)) for entry in pipeline.card.history), key=itemgetter(1))
    if last.get("validation_loss", 0.0) > RISEN * least:
        print(f"the validation loss was least after {step:,.0f} steps ({least:.3f}): try --steps {step:.0f}")


def adapt(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    data: Path,
    out: Out,
    settings: OmitArgPrefixes[AdaptSettings] = AdaptSettings(),
    threads: Threads = None,
) -> None:
    """Adapt a generator that was trained elsewhere to a hospital of 100 to 5,000 stays, and write another pipeline folder.

    Distributions of single variables are fitted anew; small changes to the networks learn how local records run, without their label. The
    label's effect stays as RUN has it, unless there are enough local rows of each class and validation rows show another. What held-out
    rows do not find better is not written.
    Interrupted, the same command goes on from OUT.partial and ends in the same weights.

    For instance:
      tardiff adapt runs/p12/run --data runs/local/data --out runs/local/run
      tardiff adapt runs/p12/run --data runs/local/data --rank 0 --out runs/local/norms

    Args:
        run: Pipeline folder to start from; it is left as it is.
        data: Dataset folder of the local stays, with labels or without. What it lacks of RUN's variables is never charted in samples;
            what RUN does not know is left out.
        out: Pipeline folder to write.
    """
    use_threads(threads)
    from tardiff.data.dataset import Dataset
    from tardiff.model.adaptation import adapt
    from tardiff.model.pipeline import TarDiffPipeline
    from tardiff.refine.load import load_generator

    pipeline = load_generator(run)
    if not isinstance(pipeline, TarDiffPipeline):
        raise TardiffError(f"{run}: only a diffusion pipeline can be adapted; adapt one, or train on --data anew")
    facts = adapt(pipeline, Dataset.load(data), out, settings).card.adaptation
    kept = f"networks of step {facts['steps_kept']}" if facts["steps_kept"] else "networks as they were, because no step made them better"
    maps = ", ".join(facts["new_value_maps"]) or "none"
    losses = f"loss {facts['loss_before']:.3f} before and {facts['loss_after']:.3f} after"
    print(f"{out}: {kept}, {losses}; new distributions of {maps}; the label's effect is {facts['label_effect']}")


def _read_policy_settings(file: Path | None) -> PolicySettings:
    """The defaults, with what `file` gives in their place."""
    if file is None:
        return PolicySettings()
    from data_prep.yaml_files import read_yaml
    from tardiff.refine.settings_file import settings_from

    return settings_from(read_yaml(file), PolicySettings(), str(file))


def fit_classifier(
    data: Data,
    out: Out,
    guidance_set: Literal["train", "validation"] = "train",
    guidance_rows: str = "all",
    run: Path | None = None,
    settings: OmitArgPrefixes[ClassifierSettings] = ClassifierSettings(),
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train the classifier that steers samples.

    The folder also keeps checkpoints along its training and, for each, the gradients of the guidance rows, so that
    sampling needs no patient's record.

    For instance:
      tardiff fit-classifier runs/p12/data --out runs/p12/classifier
      tardiff fit-classifier runs/p12/data --out runs/p12/tcn --architecture tcn --class-weights
      tardiff fit-classifier runs/p12/data --out runs/p12/old --guidance-rows "age>=65"

    Args:
        data: Dataset folder.
        out: Classifier folder to write.
        guidance_set: Split whose rows guidance serves.
        guidance_rows: Which of them: all, minority (the rarest class), wrong (those that the classifier gets wrong), or a
            subgroup by a descriptor (sex=female, age>=65, age<40).
        run: Pipeline folder that the classifier is to guide, if that learnt from other rows than DATA's (or without labels).
    """
    use_threads(threads)
    use_device(device)
    from tardiff.base.progress import bar
    from tardiff.classifier import folder as classifier_folder
    from tardiff.data.contract import arranged
    from tardiff.data.dataset import Dataset
    from tardiff.refine.load import load_generator

    dataset, codec = Dataset.load(data), None
    if run:
        generator = load_generator(run)
        dataset, codec = arranged(dataset, replace(generator.form, statics=None), "DATA", "RUN"), generator.codec
    with bar(total=settings.epochs, desc="fit", unit="epoch") as moved:

        def show(entry: dict[str, float]) -> None:
            moved.set_postfix(loss=f"{entry['loss']:.3f}", auprc=f"{entry['validation_auprc']:.3f}", refresh=False)
            moved.update()

        folder = classifier_folder.fit_classifier(dataset, settings, guidance_set, show, codec, guidance_rows)
    folder.save(out)
    print(f"{out}: {settings.architecture}, best epoch {folder.card.epochs[-1]}, validation AUPRC {folder.card.validation_auprc:.3f}")


def refine(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    data: Path,
    out: Out,
    classifier: Path | None = None,
    settings: OmitArgPrefixes[RefineSettings] = RefineSettings(),
    ppo: OmitArgPrefixes[PPOSettings] = PPOSettings(),
    discriminator: DiscriminatorSettings = DiscriminatorSettings(),
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Refine a diffusion pipeline (PPO on the reverse steps) or a language model of rows by rewards of its samples.

    The result is another folder of the same kind. Validation rows check it on the way: it goes back if it is worse than its base, stops
    when it gets no better, and is not written if it is worse by more than chance. Interrupted, the same command goes on from OUT.partial
    and ends in the same weights.

    For instance:
      tardiff refine runs/p12/run --data runs/p12/data --out runs/p12/refined
      tardiff refine runs/p12/run --data runs/p12/data --classifier runs/p12/old --rewards discriminator=1,influence=0.5 --out runs/p12/aim
      tardiff refine runs/p12/run --data runs/p12/data --method awm --iterations 30 --out runs/p12/awm
      tardiff refine runs/p12/rows --data runs/p12/data --out runs/p12/rows-refined

    Args:
        run: Folder of a diffusion pipeline or a language model to start from; it is left as it is.
        data: Dataset folder that it was trained on; validation rows check.
        out: Pipeline folder to write, with refinement.jsonl, refinement.json and refinement.png inside.
        classifier: Classifier folder that the rewards influence and value serve.
        discriminator: The network that tells samples from real rows.
    """
    use_threads(threads)
    on = use_device(device)
    from tardiff.classifier.folder import ClassifierFolder
    from tardiff.data.dataset import Dataset
    from tardiff.model.pipeline import TarDiffPipeline
    from tardiff.refine import refine
    from tardiff.refine.language.folder import LanguagePipeline
    from tardiff.refine.load import load_generator

    pipeline = load_generator(run).to(on)
    if not isinstance(pipeline, TarDiffPipeline | LanguagePipeline):
        raise TardiffError(f"{run}: a record policy is trained by rewards already; refine a diffusion pipeline or a language model")
    folder = ClassifierFolder.load(classifier).to(on) if classifier else None
    refined = refine(pipeline, Dataset.load(data), out, settings, ppo, discriminator, folder)
    warning = "WORSE than its base, " if refined.check.worse else ""
    print(f"{out}: iteration {refined.iteration} of {settings.iterations}, {warning}{refined.check}")
