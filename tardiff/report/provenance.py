"""Where everything came from, and the commands that make it again."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tardiff.base.markdown import flat, versioned
from tardiff.evaluate.realism import default_rules
from tardiff.report.parts import Section, Table
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.provenance import Described, Origin
from tardiff.settings import EvaluateSettings, GuidanceSettings, SamplerSettings, SelectionSettings, TrainSettings

SIMULATED = "simulated"  # source of `tardiff prepare simulate`
NOT_OPTIONS = ("labels", "dictionary", "onset", "task")
USUAL = {"label_ratio": "train", "relabel": False, "seed": 0}  # of `tardiff sample`, beside its settings
SET_BY_QUICK = ("models", "seeds", "ratios")


def provenance(evaluation: ReportInput) -> Section:
    """Data, settings, seeds and versions."""
    result = evaluation.result
    section = Section(
        "provenance", "Provenance", "What was read, and how to make it again. The hash of a data set is that of its arrays and manifest."
    )
    data = {"real": result.real} | result.synthetic
    if result.test.content_hash != result.real.content_hash:
        data["test"] = result.test
    rows = [[name, versioned(d.source, d.source_version), d.task, _rows(d), d.content_hash] for name, d in data.items()]
    section.items.append(Table("Data", "Rows by split.", ["set", "source", "task", "rows", "content hash"], rows))
    settings = [["evaluation", key, _plain(value)] for key, value in _chosen(result.settings).items()]
    settings += [["fits' seeds", "seeds", _plain(result.utility.seeds)]]
    settings += [[name, key, _plain(value)] for name, d in data.items() for key, value in flat(d.made_by)]
    section.items.append(
        Table("Settings and seeds", "As the manifests and the evaluation recorded them.", ["of", "setting", "value"], settings, folded=True)
    )
    versions = [[name, version] for name, version in result.versions.items()]
    section.items.append(Table("Versions", "Packages that computed the numbers.", ["package", "version"], versions, folded=True))
    return section


def commands(evaluation: ReportInput) -> list[str]:
    """Command lines, in order; words in capitals stand for your folders. What no manifest tells is left out."""
    result = evaluation.result
    lines = []
    made = result.real.made_by
    if made:
        task = result.real.origin.task
        source = result.real.source.replace("_", "-")
        records = ["simulate"] if source == SIMULATED else [source, "--raw", "RAW"]
        lines.append(_line("prepare", *records, "--task", task.name if task else result.real.task, *_options(made, {}), "--out", "DATA"))
    runs: list[str] = []
    for name, described in result.synthetic.items():
        lines += _sampling(name, described, runs)
    sets = [part for name in result.synthetic for part in ("--synthetic", f"{name}={folder(name)}")]
    other = ["--test", "TEST"] if result.test.content_hash != result.real.content_hash else []
    chosen = {key: value for key, value in _chosen(result.settings).items() if not (result.settings.quick and key in SET_BY_QUICK)}
    options = [*sets, *other, *_rules(evaluation), *_options(chosen, asdict(EvaluateSettings()))]
    lines.append(_line("evaluate", "--real", "DATA", *options, "--out", "EVALUATION"))
    return [*lines, _line("report", "EVALUATION", "--out", "report.html")]


def _rules(evaluation: ReportInput) -> list[str]:
    """The option for rules that are not the package's own."""
    found, usual = evaluation.result.realism.clinical, default_rules()
    own = [rule.name for rule in found.rules if rule.name not in usual or rule.expression != usual[rule.name].expression]
    return ["--rules", "RULES"] if own or {rule.name for rule in found.skipped} - usual.keys() else []


def folder(name: str) -> str:
    """The word that stands for a set's folder."""
    return "".join(letter if letter.isalnum() else "-" for letter in name).upper() or "SYNTHETIC"


def _sampling(name: str, described: Described, runs: list[str]) -> Iterator[str]:
    """Training (once) and sampling of a set that `tardiff sample` made."""
    made = described.origin
    if made.n is None:
        return
    classifiers = [part for _ in made.classifiers for part in ("--classifier", "CLASSIFIER")]
    labels = [] if made.training.get("labels", True) else ["--no-labels"]
    training = _line("train", "DATA", *labels, *_options(made.training, asdict(TrainSettings())), "--out", "RUN")
    if training not in runs:
        runs.append(training)
        yield training
    if classifiers and "CLASSIFIER" not in runs:
        runs.append("CLASSIFIER")
        yield _line("fit-classifier", "DATA", "--out", "CLASSIFIER")
    options = [
        *_options(made.guidance, asdict(GuidanceSettings())),
        *_options(made.sampler, asdict(SamplerSettings())),
        *_options(made.selection, asdict(SelectionSettings())),
        *_options({key: described.made_by.get(key) for key in USUAL}, USUAL),
        *_served(made),
    ]
    yield _line("sample", "RUN", *classifiers, "--n", str(made.n), *options, "--out", folder(name))


def _served(made: Origin) -> list[str]:
    """The options for guidance rows of another data set than the classifier's."""
    elsewhere = [served for served, own in zip(made.serves, made.classifiers, strict=False) if served.data != own]
    return ["--guidance-data", "LOCAL", "--guidance-rows", elsewhere[0].rule] if elsewhere else []


def _options(chosen: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """Options of a command for the settings that are not the usual ones."""
    words = []
    for key, value in chosen.items():
        flag = key.replace("_", "-")
        if value in (None, [], ()) or key in NOT_OPTIONS or isinstance(value, Mapping) or (key in usual and _same(value, usual[key])):
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list | tuple):
            listed = [str(item) for item in value]
            words += [f"--{flag}", *(listed if key in usual else [",".join(listed)])]
        else:
            words += [f"--{flag}", str(value)]
    return words


def _same(value: Any, usual: Any) -> bool:
    return list(value) == list(usual) if isinstance(usual, tuple) and isinstance(value, list | tuple) else value == usual


def _line(*words: str) -> str:
    return shlex.join(["tardiff", *words])


def _chosen(settings: EvaluateSettings) -> dict[str, Any]:
    """What was chosen, but for the number of workers, which changes nothing."""
    return {key: value for key, value in asdict(settings).items() if key != "workers"}


def _rows(described: Described) -> str:
    return ", ".join(f"{split} {size.rows:,}" for split, size in described.splits.items())


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return "–" if value is None else str(value)
