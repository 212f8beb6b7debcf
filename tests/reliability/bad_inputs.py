"""What a user may hand in that is wrong, command by command. `bad-inputs.md` beside this file is made from it.

`python -m tests.reliability.bad_inputs` runs all of it and writes that page anew, in a minute or two.
"""

import gzip
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import spoil
from .spoil import Spoil, nothing

PAGE = Path(__file__).with_name("bad-inputs.md")
REWRITE = "TARDIFF_WRITE_BAD_INPUTS"
"""Environment variable: the tests write the page instead of comparing with it."""

HEAD = """# Bad inputs, and what tardiff says

Each of these ends in one line on standard error and exit status 2, and leaves nothing behind. `python -m tests.reliability.bad_inputs`
writes the table and the tests check it; paths are relative to the folder of the call, and what another library says of a file is cut to
`(...)`.

| command | what is wrong | what tardiff says, after `tardiff: error:` |
|---|---|---|
"""


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        arguments: the command line. Words in capitals are good artefacts (see `conftest.good`), copied under these names in lower case.
        wrong: what is wrong, in words.
        names: what the message must name: file, field or option.
        spoil: done to the copies before the call.
    """

    arguments: str
    wrong: str
    names: str
    spoil: Spoil = nothing

    @property
    def command(self) -> str:
        """The command, and of `prepare` the source."""
        words = self.arguments.split()
        return " ".join(words[: 2 if words[0] == "prepare" and len(words) > 1 and not words[1].startswith("-") else 1])

    def __str__(self) -> str:
        return f"{self.command}: {self.wrong}"

    def lay_out(self, root: Path, good: Mapping[str, Path]) -> list[str]:
        """Copy and spoil what the case needs into `root`; returns the arguments."""
        wanted = re.compile(rf"\b({'|'.join(sorted(good, key=len, reverse=True))})\b")
        for name in sorted(set(wanted.findall(self.arguments))):
            shutil.copytree(good[name], root / name.lower())
        self.spoil(root)
        return shlex.split(wanted.sub(lambda match: match[1].lower(), self.arguments))


TRAIN = "train DATA --out out"
POLICY = f"{TRAIN} --model policy --policy-settings own.yaml"
FIT = "fit-classifier DATA --out out"
SAMPLE = "sample RUN --guidance none --n 5 --out out"
GUIDE = "sample RUN --classifier CLF --n 5 --out out"
DIAGNOSE = "diagnose GUIDED --run RUN --classifier CLF --data DATA --out out"
AUGMENT = "augment DATA --out out"
COMPARE = "compare DATA --out out"
LANGUAGE = f"{TRAIN} --model language"
ADAPT = "adapt RUN --data DATA --out out"
REFINE = "refine RUN --data DATA --out out"
EVALUATE = "evaluate --real DATA --synthetic a=GUIDED --out out"
REPORT = "report EVAL --out out.html"
QUIZ = "quiz DATA GUIDED --out out.html"
EXPORT = "export DATA --out out.csv"
AUDIT = "audit DATA"
DEMO = "demo --out out"
SIMULATE = "simulate --out out"
MIMIC = "prepare mimic-iv --raw MIMIC --variables hr --out out"
P2012 = "prepare physionet2012 --raw P2012 --out out"
P2012GZ = "prepare physionet2012 --raw P2012GZ --out out"
P2019 = "prepare physionet2019 --raw P2019 --task sepsis3 --out out"
EICU = "prepare eicu --raw EICU --variables hr --out out"
MEDS = "prepare meds --raw MEDS --variables all --hours 10 --task given --split publisher --out out"
YAIB = "prepare yaib --raw YAIB --task given --out out"
TABLE = "prepare table --raw TABLE --variables all --out out"
LONG = "n" * 300

OPTIONS: Mapping[str, tuple[str, ...]] = {
    QUIZ: ("--stays 0", "--stays many", "--stays 100000", "--seed -1"),
    SIMULATE: ("--stays 0", "--stays -5", "--stays many", "--seed -1", "--seed 9999999999", "--ballast -1", "--ballast 1001", "--beds 5"),
    MIMIC: (
        "--hours 0",
        "--hours x",
        "--before-hours -1",
        "--step-hours 0.7",
        "--step-hours nan",
        "--step-hours inf",
        "--step-hours -1",
        "--min-age -1",
        "--min-age nan",
        "--max-age -1",
        "--max-age old",
        "--min-stay-hours -1",
        "--max-stay-hours -1",
        "--min-coverage 1.5",
        "--min-coverage nan",
        "--stays-of-patient last",
        "--lab-time later",
        "--gcs-intubated no",
        "--split halves",
        "--split publisher",
        "--split by-set",
        "--split by-id",
        "--split by-id --test-after 99999999",
        "--sets a",
        "--seed -1",
        "--memory much",
        "--memory 1MB",
        "--memory -2GB",
        "--threads 0",
        "--variables heart",
        "--variables hr,hr",
        "--task sepsis",
        "--task given",
        "--connection oracle://x",
    ),
    TRAIN: (
        "--steps 0",
        "--steps many",
        "--steps 1.5",
        "--batch-size 0",
        "--learning-rate 0",
        "--learning-rate nan",
        "--learning-rate inf",
        "--weight-decay -1",
        "--widths 12",
        "--widths",
        "--widths 16 x",
        "--blocks 0",
        "--dropout 2",
        "--ema-decay -1",
        "--ema-decay 1.5",
        "--gradient-clip 0",
        "--accumulate 0",
        "--validate-every 0",
        "--seed -1",
        "--model gan",
        "--threads 0",
        "--colour red",
    ),
    FIT: (
        "--epochs 0",
        "--patience 0",
        "--batch-size 0",
        "--width 6",
        "--dropout 1",
        "--learning-rate -1",
        "--learning-rate inf",
        "--weight-decay nan",
        "--seed -1",
        "--architecture mlp",
        "--guidance-set test",
        "--guidance-rows 'height>3'",
        "--guidance-rows 'sex=other'",
        "--guidance-rows 'age>=500'",
        "--guidance-rows 'age>=old'",
        "--threads -1",
    ),
    SAMPLE: (
        "--n 0",
        "--n -1",
        "--n 1e3",
        "--n 99999999999999",
        "--steps 0",
        "--steps 1001",
        "--eta 0.5",
        "--eta 2",
        "--cfg-scale -1",
        "--cfg-scale inf",
        "--batch-size 0",
        "--strength -1",
        "--strength strong",
        "--strength inf",
        "--window 2",
        "--clip 0",
        "--pilot 1",
        "--select-from 1",
        "--select best",
        "--select influence",
        "--label-ratio 2",
        "--label-ratio nan",
        "--label-ratio most",
        "--relabel",
        "--sampler euler",
        "--objective beauty=1",
        "--objective cosine",
        "--objective cosine=-1",
        "--objective cosine=nan",
        "--objective label=1,label=2",
        "--objective ''",
        "--curvature full",
        "--seed -1",
        "--threads 0",
    ),
    DIAGNOSE: ("--seed -1", "--seed x", "--threads 0"),
    AUGMENT: (
        "--ratio 0",
        "--ratio nan",
        "--strength -1",
        "--budget-minutes 0",
        "--budget-minutes inf",
        "--seed -1",
        "--subgroup height",
        "--guidance gap",
        "--batches 0",
        "--batches 1000",
        "--threads 0",
    ),
    ADAPT: (
        "--steps 0",
        "--batch-size 0",
        "--learning-rate 0",
        "--learning-rate inf",
        "--weight-decay -1",
        "--rank -1",
        "--rank 5000",
        "--validate-every 0",
        "--patience 0",
        "--seed -1",
        "--threads 0",
    ),
    COMPARE: (
        "--seeds 0",
        "--ratios 0",
        "--ratios nan",
        "--ratios",
        "--bootstrap 5",
        "--budget-minutes 0",
        "--methods none,gan",
        "--methods smote",
        "--methods none,none",
        "--model svm",
        "--on train",
        "--by height",
        "--by age",
        "--seed -1",
    ),
    REFINE: (
        "--iterations 0",
        "--rows 4",
        "--steps 1",
        "--ema-decay 2",
        "--check-every 0",
        "--check-rows 1",
        "--patience 0",
        "--seed -1",
        "--method sac",
        "--rewards beauty=1",
        "--rewards discriminator=0",
        "--rewards discriminator=x",
        "--rewards discriminator=nan",
        "--rewards discriminator=1,discriminator=2",
        "--rewards influence=1",
        "--rewards ''",
        "--learning-rate 0",
        "--learning-rate inf",
        "--clip-coef 0",
        "--update-epochs 0",
        "--minibatch-size 0",
        "--kl -1",
        "--max-grad-norm nan",
        "--discriminator.width 12",
        "--discriminator.ratio 0",
        "--discriminator.batch-size 0",
        "--discriminator.pseudo 2",
        "--discriminator.r1 -1",
    ),
    EVALUATE: (
        "--models svm",
        "--models",
        "--seeds 0",
        "--ratios 0",
        "--ratios -1",
        "--ratios nan",
        "--ratios inf",
        "--bootstrap 0",
        "--attack-rows 0",
        "--seed -1",
        "--max-rows -1",
        "--max-rows 1",
        "--subgroups height",
        "--workers -1",
        "--synthetic a=GUIDED",
    ),
    AUDIT: ("--seed -1", "--seed x"),
    EXPORT: ("--format excel",),
    DEMO: ("--seed -1", "--data eicu", "--data mimic-iv", "--raw none --data physionet2012"),
}


def options() -> Iterator[Case]:
    """Every option out of its range or of the wrong kind; most are refused before a file is opened."""
    for base, wrong in OPTIONS.items():
        for option in wrong:
            named = re.search(r"'(\w+)|--by (\w+)|(influence)=", option)
            names = next(filter(None, named.groups())) if named else option.split()[0].lstrip("-").split(".")[-1]
            yield Case(f"{base} {option}", f"`{option.replace('GUIDED', 'guided')}`", names)


def command_lines() -> Iterator[Case]:
    """Words that are missing or too many."""
    yield Case("fly", "no such command", "fly")
    for command, lacks in {
        "simulate": "--out",
        "prepare": "SOURCE",
        "prepare mimic-iv": "--out",
        "train": "DATA",
        "train DATA": "--out",
        "fit-classifier DATA": "--out",
        "sample RUN --out out": "--n",
        "sample RUN --n 5": "--out",
        "diagnose GUIDED --out out": "--run",
        "augment DATA": "--out",
        "compare DATA": "--out",
        "adapt --data DATA --out out": "RUN",
        "adapt RUN --out out": "--data",
        "refine RUN --out out": "--data",
        "evaluate --synthetic a=GUIDED --out out": "--real",
        "report": "EVAL",
        "quiz DATA --out out.html": "SYN",
        "export DATA": "--out",
        "audit": "DATA",
        "demo": "--out",
    }.items():
        yield Case(command, f"{lacks} is missing", lacks)
    yield Case("train DATA extra --out out", "a word too many", "extra")
    yield Case("train DATA --out", "a value is missing", "--out")
    yield Case("evaluate --real DATA --out out", "nothing synthetic is named", "synthetic")
    yield Case("report EVAL", "neither --out nor --card", "--out")
    yield Case("variables epic", "no such source", "epic")
    yield Case("prepare epic --raw MIMIC --out out", "no such source", "epic")
    yield Case("prepare mimic-iv --out out", "no --raw", "--raw")


def places() -> Iterator[Case]:
    """Folders that are not there, files for folders, folders of another kind, and places that cannot be written to."""
    for base, word in {
        TRAIN: "DATA",
        FIT: "DATA",
        SAMPLE: "RUN",
        GUIDE: "CLF",
        DIAGNOSE: "GUIDED",
        AUGMENT: "DATA",
        COMPARE: "DATA",
        ADAPT: "RUN",
        REFINE: "RUN",
        EVALUATE: "DATA",
        REPORT: "EVAL",
        QUIZ: "GUIDED",
        EXPORT: "DATA",
        AUDIT: "DATA",
        MIMIC: "MIMIC",
        P2012: "P2012",
        P2019: "P2019",
        EICU: "EICU",
        MEDS: "MEDS",
        YAIB: "YAIB",
        TABLE: "TABLE",
    }.items():
        yield Case(base.replace(word, "none"), f"no such folder ({word})", "none")
        yield Case(base.replace(word, "file"), f"a file where a folder belongs ({word})", "file", spoil.put("file", "text"))
        yield Case(base.replace(word, "empty"), f"an empty folder ({word})", "empty", spoil.put("empty/.keep", ""))
    yield Case(TRAIN.replace("DATA", "round"), "a link to itself (DATA)", "round", spoil.loop("round"))
    yield Case(SAMPLE.replace("RUN", "round"), "a link to itself (RUN)", "round", spoil.loop("round"))
    yield Case(MIMIC.replace("MIMIC", "round"), "a link to itself (MIMIC)", "round", spoil.loop("round"))
    for base in (TRAIN, FIT, SAMPLE, DIAGNOSE, AUGMENT, COMPARE, ADAPT, REFINE, EVALUATE, EXPORT, MIMIC, SIMULATE, DEMO, REPORT, QUIZ):
        out = base.split("--out ")[1]
        yield Case(base, "OUT exists", out, spoil.put(out, "mine"))
        inside = base.replace(f"--out {out}", f"--out file/{out}")
        yield Case(inside, "OUT inside a file", "file", spoil.put("file", "text"))
        yield Case(base.replace(f"--out {out}", f"--out {LONG}{out}"), "a name of 300 letters for OUT", LONG)
    yield Case(AUDIT + " --json mine.json", "the file to write exists", "mine.json", spoil.put("mine.json", "mine"))
    yield Case(AUDIT + " --json file/mine.json", "the file to write is inside a file", "file", spoil.put("file", "text"))
    yield Case("export DATA --out out.doc", "a file name that ends otherwise", "out.doc")
    yield Case(SAMPLE.replace("RUN", "CLF"), "a classifier folder for a pipeline", "clf")
    yield Case(SAMPLE.replace("RUN", "DATA"), "a dataset folder for a pipeline", "data")
    yield Case(GUIDE.replace("CLF", "RUN"), "a pipeline folder for a classifier", "run")
    yield Case(GUIDE.replace("CLF", "POLICY"), "a policy folder for a classifier", "policy")
    yield Case(GUIDE.replace("CLF", "OTHERCLF"), "a classifier of another data set", "--classifier")
    yield Case(GUIDE.replace("RUN", "POLICY"), "guidance of a record policy", "--guidance")
    yield Case("sample RUN --n 5 --out out", "guidance without a classifier", "--classifier")
    yield Case(GUIDE + " --objective entropy=1,repulsion=1", "a matched strength that no label could match", "--objective")
    aim = GUIDE + " --objective cosine=1 --guidance-data "
    yield Case(aim + "CLF", "a classifier folder for guidance rows", "clf")
    yield Case(aim + "DATA --guidance-rows 'age>=500'", "guidance rows that do not exist", "--guidance-rows")
    yield Case(aim + "DATA --guidance-rows most", "a rule for guidance rows that does not read", "most")
    yield Case(GUIDE + " --guidance-data DATA", "guidance rows that no objective reads", "--guidance-data")
    yield Case(SAMPLE + " --descriptors RUN", "a pipeline that shall draw descriptors", "--descriptors")
    yield Case(SAMPLE + " --privacy-filter CLF", "a classifier folder to filter by", "clf")
    yield Case(SAMPLE + " --privacy-filter OTHER", "another data set to filter by", "--privacy-filter")
    yield Case(SAMPLE + " --privacy-filter DATA --privacy-quantile 0", "no quantile", "--privacy-quantile")
    yield Case(SAMPLE + " --privacy-filter DATA --privacy-quantile 1e-6", "too few held-out rows", "--privacy-quantile")
    yield Case(SAMPLE + " --privacy-quantile 0.05", "a quantile of no filter", "--privacy-quantile")
    yield Case(FIT + " --architecture gru --epochs 1 --learning-rate 1e30", "steps that no network survives", "--learning-rate")
    yield Case(FIT + " --run CLF", "a classifier folder for a pipeline", "clf")
    yield Case(TRAIN.replace("DATA", "EVAL"), "an evaluation folder for a data set", "eval")
    yield Case(ADAPT.replace("RUN", "POLICY"), "a policy folder to adapt", "policy")
    yield Case(ADAPT.replace("RUN", "CLF"), "a classifier folder to adapt", "clf")
    yield Case(ADAPT.replace("DATA", "EVAL"), "an evaluation folder to adapt to", "eval")
    yield Case(ADAPT + " --learning-rate 1e30", "steps that no network survives", "--learning-rate")
    yield Case(REFINE.replace("RUN", "POLICY"), "a policy folder to refine", "policy")
    yield Case(REFINE.replace("DATA", "OTHER"), "another data set than the generator's", "--data")
    yield Case(REFINE + " --rewards influence=1 --classifier OTHERCLF", "a classifier of another data set", "--classifier")
    yield Case(REFINE + " --classifier CLF", "a classifier that no reward reads", "--classifier")
    yield Case(TRAIN + " --model policy --epsilon 8", "privacy of what has none", "--epsilon")
    yield Case(TRAIN + " --model policy --no-labels", "a record policy without labels", "--no-labels")
    yield Case(TRAIN + " --language-model own", "a language model for what reads none", "--language-model")
    yield Case(LANGUAGE + " --no-labels", "rows of a language model without labels", "--no-labels")
    yield Case(LANGUAGE + " --policy-settings own.yaml", "settings of a record policy", "--policy-settings", spoil.put("own.yaml", ""))
    yield Case(LANGUAGE + " --language.width 33", "a width that no head divides", "--language.width")
    yield Case(LANGUAGE + " --language.epochs 0", "no epoch", "--language.epochs")
    yield Case(LANGUAGE + " --language-model POLICY", "a policy folder for a language model", "policy")
    pickled = spoil.put("own/pytorch_model.bin", b"\x80\x04")
    yield Case(LANGUAGE + " --language-model own", "a language model whose weights are pickled", "own", pickled)
    yield Case(LANGUAGE + " --language-model own.gguf", "a file for the folder that it stands in", "own.gguf", spoil.put("own.gguf", "x"))
    yield Case(SAMPLE.replace("RUN", "ROWS") + " --descriptors RUN", "descriptors from a diffusion model", "--descriptors")
    yield Case(REFINE.replace("RUN", "ROWS") + " --method awm", "a method that reads reverse steps, for a language model", "--method")
    yield Case(ADAPT.replace("RUN", "ROWS"), "a language model to adapt", "rows")
    yield Case(TRAIN + " --policy-settings own.yaml", "settings of the other model", "--policy-settings", spoil.put("own.yaml", ""))
    yield Case(DIAGNOSE.replace("GUIDED", "DATA", 1), "real rows to diagnose", "guided")
    yield Case(DIAGNOSE.replace("--data DATA", "--data RUN"), "a pipeline folder for a data set", "run")
    yield Case(AUGMENT + " --run POLICY", "a policy folder for a pipeline", "policy")
    yield Case(AUGMENT + " --classifier OTHERCLF --run RUN", "a classifier of another data set", "--classifier")
    yield Case(COMPARE.replace("DATA", "OTHER") + " --run RUN", "a generator of another data set", "--run")
    yield Case(COMPARE + " --methods none,refined", "a way of training whose generator is missing", "--methods refined")
    ladder = COMPARE + " --from RUN --from-classifier CLF"
    yield Case(COMPARE + " --from RUN", "a ladder without the other site's classifier", "--from-classifier")
    yield Case(ladder.replace("CLF", "OTHERCLF"), "a classifier of other rows than the other site's generator", "--from-classifier")
    yield Case(ladder + " --local 9999", "more local stays than there are", "--local")
    yield Case(ladder.replace("RUN", "POLICY"), "a policy folder for the other site's generator", "policy")
    yield Case(ladder + " --methods none,adapted", "ways of two kinds of comparison", "--methods")
    yield Case(ladder + " --methods local,real", "the other site's own rows are missing", "--methods real")
    yield Case(ladder + " --from-data EVAL", "an evaluation folder for the other site's rows", "eval")
    yield Case(ladder + " --objective likeness=1", "an objective of no name", "likeness")
    yield Case(EVALUATE + " --run CLF", "a classifier folder for a pipeline", "clf")
    yield Case(EVALUATE.replace("DATA", "OTHER") + " --run RUN", "a generator of another data set", "--run")
    yield Case(EVALUATE + " --classifier OTHERCLF", "a classifier of another data set", "otherclf")
    yield Case(EVALUATE + " --classifier g=CLF --classifier g=CLF", "two classifiers of one name", "--classifier")
    yield Case(EVALUATE + " --test RUN", "a pipeline folder to test on", "run")
    yield Case(EVALUATE + " --rules mine.yaml", "no such file of rules", "mine.yaml")
    yield Case(EVALUATE + " --rules mine.yaml", "a rule that is no expression", "shock", spoil.put("mine.yaml", "shock: hr /"))
    yield Case(EVALUATE + " --rules mine.yaml", "a rule that calls a function", "open", spoil.put("mine.yaml", "shock: open(hr) > 1"))
    yield Case(EVALUATE + " --rules mine.yaml", "a list for the rules", "mine.yaml", spoil.put("mine.yaml", "- hr > 90"))
    yield Case(REPORT.replace("EVAL", "DATA"), "a dataset folder for an evaluation", "data")
    yield Case(QUIZ.replace("GUIDED", "RUN"), "a pipeline folder for synthetic rows", "run")
    yield Case("report EVAL --card CLF", "a classifier folder for the card", "clf")
    yield Case("report EVAL --card POLICY", "a card of another generator", "policy", spoil.field("policy/card.json", "data_hash", "x"))
    yield Case(AUDIT + " --run EVAL", "an evaluation folder for a run", "eval")
    yield Case(AUDIT + " --run OTHERCLF", "a classifier of another data set", "otherclf")
    for name, shown in {"caf\u00e9 \u2603": "caf\u00e9 \u2603", "'a\nb'": "a b", "\u202edata": "\u202edata"}.items():
        yield Case(TRAIN.replace("DATA", shlex.quote(name.strip("'"))), f"no such folder, with an odd name ({shown!a})", shown)


JSON_FILES: Mapping[str, tuple[str, ...]] = {
    TRAIN: ("data/manifest.json",),
    SAMPLE: (
        "run/codec.json",
        "run/statics.json",
        "run/card.json",
        "run/unet/config.json",
        "run/charting/config.json",
        "run/scheduler/scheduler_config.json",
    ),
    GUIDE: ("clf/classifier.json", "clf/codec.json"),
    SAMPLE.replace("RUN", "POLICY"): ("policy/policy.json", "policy/card.json"),
    SAMPLE.replace("RUN", "ROWS"): ("rows/language.json",),
    REPORT: ("eval/metrics.json", "eval/figures.json"),
    AUDIT + " --run CLF": ("clf/classifier.json",),
    MEDS: ("meds/metadata/dataset.json",),
}
TENSORS: Mapping[str, tuple[str, ...]] = {
    EXPORT: ("data/train.safetensors", "data/validation.safetensors"),
    SAMPLE: ("run/unet/diffusion_pytorch_model.safetensors", "run/charting/diffusion_pytorch_model.safetensors"),
    GUIDE: ("clf/model.safetensors", "clf/trajectory.safetensors", "clf/guidance.safetensors"),
    SAMPLE.replace("RUN", "POLICY"): ("policy/policy.safetensors",),
    SAMPLE.replace("RUN", "ROWS"): ("rows/language.safetensors",),
}


def damaged() -> Iterator[Case]:
    """Files of the package's own that came to harm."""
    for base, files in JSON_FILES.items():
        for file in files:
            name = _told(Path(file))
            yield Case(base, f"{file} is empty", name, spoil.put(file, ""))
            yield Case(base, f"{file} is truncated", name, spoil.cut(file))
            yield Case(base, f"{file} holds random bytes", name, spoil.noise(file))
            yield Case(base, f"{file} holds a list", name, spoil.put(file, "[1, 2]"))
            yield Case(base, f"{file} is nested 100,000 deep", name, spoil.put(file, '{"a":' + "[" * 100_000))
            if file != "meds/metadata/dataset.json":  # which may be missing
                yield Case(base, f"{file} is a folder", Path(file).parts[0], spoil.a_folder(file))
    for base, files in TENSORS.items():
        for file in files:
            name = _told(Path(file))
            yield Case(base, f"{file} is missing", name, spoil.removed(file))
            yield Case(base, f"{file} is empty", name, spoil.put(file, ""))
            yield Case(base, f"{file} is truncated", name, spoil.cut(file))
            yield Case(base, f"{file} holds random bytes", name, spoil.noise(file))
            yield Case(base, f"{file} is a folder", name, spoil.a_folder(file))
            yield Case(base, f"{file} claims a header beyond its end", name, spoil.header(file, length=10**6))
            yield Case(base, f"{file} claims a header of a terabyte", name, spoil.header(file, length=2**40))
            yield Case(base, f"{file}: arrays overlap", name, spoil.header(file, _overlap))
            yield Case(base, f"{file}: an array beyond the end", name, spoil.header(file, _beyond))
            yield Case(base, f"{file}: an array is missing", name, spoil.arrays(file, lambda content: content.popitem()))
            yield Case(base, f"{file}: an array too many", name, spoil.arrays(file, lambda content: content.update(more=np.zeros(2))))


def _told(file: Path) -> str:
    """What a message names: diffusers reads its files by their folders."""
    by_folder = ("config.json", "scheduler_config.json", "diffusion_pytorch_model.safetensors")
    return file.parent.name if file.name in by_folder else file.name


def _overlap(told: dict) -> None:
    first, second = sorted((item for key, item in told.items() if key != "__metadata__"), key=lambda item: item["data_offsets"])[:2]
    second["data_offsets"] = first["data_offsets"]


def _beyond(told: dict) -> None:
    item = max((item for key, item in told.items() if key != "__metadata__"), key=lambda item: item["data_offsets"])
    item["data_offsets"] = [item["data_offsets"][0], item["data_offsets"][1] + 4 * 10**9]


def contents() -> Iterator[Case]:
    """Files that can be read, and say what cannot be."""
    manifest, train = "data/manifest.json", "data/train.safetensors"
    for wrong, place, value, names in (
        ("an unknown field", "colour", "red", "colour"),
        ("text for a number", "steps", "ten", "steps"),
        ("no steps", "steps", 0, "steps"),
        ("other steps than the arrays", "steps", 11, "values"),
        ("steps of no length", "step_hours", 0, "step_hours"),
        ("steps of negative length", "step_hours", -1, "step_hours"),
        ("another schema", "schema", 99, "schema"),
        ("an unknown split", "splits", {"dev": {"rows": 1, "classes": [1, 0]}}, "dev"),
        ("a path for a split", "splits", {"../x": {"rows": 1, "classes": [1, 0]}}, "../x"),
        ("a split that is not there", "splits.other", {"rows": 1, "classes": [1, 0]}, "other"),
        ("no split", "splits", {}, "training split"),
        ("other row counts", "splits.train.rows", 7, "7"),
        ("a channel twice", "channels.1.name", "hr", "hr"),
        ("a static named as a channel", "statics.0.name", "hr", "hr"),
        ("limits the wrong way round", "channels.0.limits", [300, 0], "limits"),
        ("one limit only", "channels.0.limits", [300], "limits"),
        ("an unknown aggregation", "channels.0.aggregation", "median", "aggregation"),
        ("a normal value outside of the limits", "channels.0.normal", 1e9, "hr"),
        ("no channel", "channels", [], "channel"),
        ("an ordering of an unknown channel", "orderings", [["map"]], "map"),
        ("a class missing", "task.classes", ["survived"], "label"),
        ("no class", "task.classes", [], "classes"),
        ("a class that nobody has", "task.classes", ["survived", "died", "moved"], "moved"),
        ("another content hash", "content_hash", "sha256:0", "content_hash"),
        ("a changed name, and the old hash", "channels.0.unit", "Hz", "content_hash"),
    ):
        yield Case(TRAIN, f"manifest.json: {wrong}", names, spoil.field(manifest, place, value))
    for place in ("channels", "task", "splits.train.rows", "steps", "channels.0.name"):
        yield Case(EXPORT, f"manifest.json: {place} is missing", place.split(".")[-1], spoil.missing(manifest, place))
    yield Case(TRAIN, "manifest.json: NaN", "manifest.json", spoil.text(manifest, '"step_hours": 1', '"step_hours": NaN'))
    for wrong, names, change in (
        ("values in double precision", "values", lambda a: a.update(values=a["values"].astype(np.float64))),
        ("values in half precision", "values", lambda a: a.update(values=a["values"].astype(np.float16))),
        ("the mask as numbers with a point", "mask", lambda a: a.update(mask=a["mask"].astype(np.float32))),
        ("labels in 32 bits", "label", lambda a: a.update(label=a["label"].astype(np.int32))),
        ("values of another shape", "values", lambda a: a.update(values=a["values"][:, :3])),
        ("a row fewer in one array", "values", lambda a: a.update(values=a["values"][1:])),
        ("labels with two axes", "label", lambda a: a.update(label=a["label"][:, None])),
        ("one label for all", "values", lambda a: a.update(label=a["label"][:1])),
        ("no row", "the file has 0", lambda a: a.update({k: v[:0] for k, v in a.items()})),
        ("a mask of 2", "mask", lambda a: a["mask"].__setitem__((0, 0, 0), 2)),
        ("a value that is not in the mask", "values", lambda a: a["mask"].__setitem__(np.s_[:], 0)),
        ("an infinite value", "values", lambda a: a["values"].__setitem__(np.s_[:], np.inf)),
        ("an infinite descriptor", "static", lambda a: a["static"].__setitem__((3, 0), np.inf)),
        ("a category that does not exist", "sex", lambda a: a["static"].__setitem__((3, 1), 7)),
        ("a label that does not exist", "label", lambda a: a["label"].__setitem__(3, 9)),
        ("a negative label", "label", lambda a: a["label"].__setitem__(3, -1)),
        ("a length of 0", "length", lambda a: a["length"].__setitem__(3, 0)),
        ("a length beyond the window", "length", lambda a: a["length"].__setitem__(3, 99)),
        ("values in the padding", "length", lambda a: a["length"].__setitem__(np.s_[:], 1)),
        ("a window that ends before the stay", "origin_minute", lambda a: a["origin_minute"].__setitem__(3, -60)),
        ("one class only", "class", lambda a: a["label"].__setitem__(np.s_[:], 0)),
        ("a patient of the test split", "patient", lambda a: a["subject_id"].__setitem__(3, 3000)),
        ("another number than was hashed", "content_hash", lambda a: a["stay_id"].__setitem__(3, 77)),
    ):
        yield Case(TRAIN, f"train.safetensors: {wrong}", names, spoil.arrays(train, change))
    yield Case(EVALUATE.replace("DATA", "GUIDED"), "no validation split", "validation")
    for base, file, wrong, place, value, names in (
        (SAMPLE, "run/codec.json", "fewer maps than channels", "maps", [], "codec.json"),
        (SAMPLE, "run/codec.json", "no steps", "steps", 0, "codec.json"),
        (SAMPLE, "run/codec.json", "negative steps", "steps", -3, "codec.json"),
        (SAMPLE, "run/codec.json", "a map of one knot", "maps.0", {"value": [1], "score": [1]}, "codec.json"),
        (SAMPLE, "run/codec.json", "a map that does not rise", "maps.0", {"value": [1, 1], "score": [1, 1]}, "codec.json"),
        (SAMPLE, "run/codec.json", "a map with more values than scores", "maps.0", {"value": [1, 2, 3], "score": [1, 2]}, "codec.json"),
        (SAMPLE, "run/codec.json", "fewer grids than channels", "grids", [], "codec.json"),
        (SAMPLE, "run/codec.json", "an ordering of an unknown channel", "orderings", [["map", "hr"]], "codec.json"),
        (SAMPLE, "run/codec.json", "a channel fewer", "channels", [], "codec.json"),
        (SAMPLE, "run/codec.json", "text for a number", "symbol_rate.0", "often", "symbol_rate"),
        (SAMPLE, "run/statics.json", "fewer descriptors than tables", "statics", [], "statics.json"),
        (SAMPLE, "run/statics.json", "no tables", "tables", [], "statics.json"),
        (SAMPLE, "run/statics.json", "a table of one class only", "tables.0.share", [[[1.0]]], "statics.json"),
        (SAMPLE, "run/statics.json", "a parent that comes later", "tables.0.parent", 1, "statics.json"),
        (SAMPLE, "run/statics.json", "no numbers", "numbers", [], "statics.json"),
        (SAMPLE, "run/statics.json", "a covariance that is none", "covariance.0", [-1.0], "statics.json"),
        (SAMPLE, "run/statics.json", "a covariance of another size", "covariance.0", [1.0, 0.0, 0.0], "statics.json"),
        (SAMPLE, "run/statics.json", "classes of another task", "classes", 3, "statics.json"),
        (SAMPLE, "run/statics.json", "no scale", "scale", [], "statics.json"),
        (SAMPLE, "run/statics.json", "a scale of 0", "scale.0", 0, "statics.json"),
        (SAMPLE, "run/card.json", "no class", "task.classes", [], "card.json"),
        (SAMPLE, "run/card.json", "a class too many", "task.classes", ["a", "b", "c"], "card.json"),
        (SAMPLE, "run/card.json", "counts of other classes", "class_counts", [1], "card.json"),
        (SAMPLE, "run/card.json", "negative counts", "class_counts", [-5, 5], "card.json"),
        (SAMPLE, "run/card.json", "an unknown field", "colour", "red", "colour"),
        (SAMPLE, "run/unet/config.json", "other widths", "widths", [8], "run"),
        (SAMPLE, "run/unet/config.json", "text for widths", "widths", "wide", "run"),
        (SAMPLE, "run/unet/config.json", "other channels", "symbols", [3, 3], "run"),
        (SAMPLE, "run/charting/config.json", "other symbols", "symbol_rate", [[1.0, 0.0, 0.0]], "run"),
        (SAMPLE, "run/charting/config.json", "another width", "width", 5, "run"),
        (SAMPLE, "run/unet/config.json", "a billion blocks", "blocks", -1, "run"),
        (SAMPLE, "run/scheduler/scheduler_config.json", "no steps", "num_train_timesteps", 0, "run"),
        (SAMPLE, "run/scheduler/scheduler_config.json", "another prediction", "prediction_type", "magic", "run"),
        (GUIDE, "clf/classifier.json", "an unknown architecture", "settings.architecture", "mlp", "architecture"),
        (GUIDE, "clf/classifier.json", "another architecture", "settings.architecture", "tcn", "clf"),
        (GUIDE, "clf/classifier.json", "a width of 6", "settings.width", 6, "width"),
        (GUIDE, "clf/classifier.json", "a class too many", "task.classes", ["a", "b", "c"], "clf"),
        (GUIDE, "clf/classifier.json", "other epochs than checkpoints", "epochs", [1], "classifier.json"),
        (GUIDE, "clf/classifier.json", "counts of other classes", "guidance_counts", [1], "classifier.json"),
        (GUIDE, "clf/classifier.json", "another task", "task.name", "sepsis", "task"),
        (GUIDE, "clf/codec.json", "no channel", "channels", [], "codec.json"),
        (SAMPLE.replace("RUN", "POLICY"), "policy/policy.json", "no hidden unit", "hidden", 0, "policy"),
        (SAMPLE.replace("RUN", "POLICY"), "policy/policy.json", "a negative size", "latent", -1, "policy"),
        (SAMPLE.replace("RUN", "POLICY"), "policy/policy.json", "another size", "hidden", 16, "policy"),
        (REPORT, "eval/metrics.json", "no settings", "settings", None, "settings"),
        (REPORT, "eval/metrics.json", "settings that do not fit", "settings.seeds", 0, "seeds"),
        (REPORT, "eval/metrics.json", "text for the sets", "synthetic", "a", "synthetic"),
        (REPORT, "eval/metrics.json", "a list for the utility", "utility", [1], "utility"),
        (REPORT, "eval/metrics.json", "text for an estimate", "utility.cells.0.metrics.auprc", "high", "metrics[...]"),
        (REPORT, "eval/metrics.json", "a model that learnt from no set", "utility.cells.3.synthetic", "b", "synthetic"),
        (REPORT, "eval/metrics.json", "a number for the fidelity", "fidelity", 3, "fidelity"),
        (REPORT, "eval/metrics.json", "no realism", "realism", None, "realism"),
        (REPORT, "eval/metrics.json", "another set's reasons", "realism.profiles.sets", {}, "realism"),
        (REPORT, "eval/metrics.json", "text for the privacy", "privacy.sets", "safe", "privacy.sets"),
        (REPORT, "eval/metrics.json", "another set's privacy", "privacy.sets", {}, "privacy.sets"),
        (REPORT, "eval/metrics.json", "text for a number of rows", "test.rows", "many", "test.rows"),
        (REPORT, "eval/figures.json", "text for the curves", "real", "steep", "real"),
        (REPORT, "eval/figures.json", "a step too many", "hours", list(range(99)), "bands"),
        (REPORT, "eval/figures.json", "no set", "synthetic", {}, "synthetic"),
        ("report EVAL --card RUN", "eval/metrics.json", "no utility", "utility", None, "utility"),
    ):
        yield Case(base, f"{Path(file).name}: {wrong}", names, spoil.field(file, place, value))
    yield Case("report EVAL --card RUN", "README.md has lost its marks", "README.md", spoil.put("run/README.md", "mine"))
    yield Case(
        GUIDE, "guidance.safetensors: a gradient that is no number", "guidance", spoil.arrays("clf/guidance.safetensors", _no_numbers)
    )
    yield Case(GUIDE, "model.safetensors: a weight that is no number", "model", spoil.arrays("clf/model.safetensors", _no_numbers))
    yield Case(
        SAMPLE,
        "the U-Net's weights are no numbers",
        "run",
        spoil.arrays("run/unet/diffusion_pytorch_model.safetensors", _no_numbers),
    )
    for file in ("out.partial/progress.json",):
        yield Case(SAMPLE, f"{file} is no record of progress", "out.partial", spoil.put(file, "{}"))
    yield Case(MIMIC, "out.partial is somebody's", "out.partial", spoil.put("out.partial/notes.txt", "mine"))


def _no_numbers(content: dict[str, np.ndarray]) -> None:
    for array in content.values():
        array[...] = np.nan


class Runs:
    """An object whose pickle is a command."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch owned",)


def foreign() -> Iterator[Case]:
    """Synthetic data of other generators."""
    x, label = np.ones((40, 4, 10)), np.arange(40) % 2
    good = "split,stay_id,label,hour,variable,value\ntrain,7,0,0,hr,80\ntrain,8,1,1,hr,90\n"
    bomb = {"x.npy": _npy(b"\0" * 50_000_000, (6_250_000,)), "label.npy": _npy(b"\0" * 8, (1,))}
    for name, wrong, names, done in (
        ("mine.csv", "an empty table", "mine.csv", spoil.put("mine.csv", "")),
        ("mine.csv", "a head and no row", "mine.csv", spoil.put("mine.csv", good.split("\n")[0] + "\n")),
        ("mine.csv", "random bytes", "mine.csv", spoil.noise("mine.csv")),
        ("mine.csv", "text in Latin-1", "mine.csv", spoil.put("mine.csv", good.replace("hr", "caf\u00e9").encode("latin1"))),
        ("mine.csv", "text in UTF-16", "mine.csv", spoil.put("mine.csv", good.encode("utf-16"))),
        ("mine.csv", "a quote that is not closed", "mine.csv", spoil.put("mine.csv", good + 'train,9,1,1,"hr,90\n')),
        ("mine.csv", "rows of different length", "mine.csv", spoil.put("mine.csv", good + "train,9,1,1,hr,90,1,2\n")),
        ("mine.csv", "semicolons for commas", "split", spoil.put("mine.csv", good.replace(",", ";"))),
        ("mine.csv", "a column missing", "value", spoil.put("mine.csv", good.replace("value", "amount"))),
        ("mine.csv", "text for a value", "value", spoil.put("mine.csv", good.replace("90", "high"))),
        ("mine.csv", "an infinite value", "mine.csv", spoil.put("mine.csv", good.replace("90", "inf"))),
        ("mine.csv", "an unknown variable", "variable", spoil.put("mine.csv", good.replace("1,hr", "1,pulse"))),
        ("mine.csv", "an unknown split", "split", spoil.put("mine.csv", good.replace("train,8", "dev,8"))),
        ("mine.csv", "a label that does not exist", "label", spoil.put("mine.csv", good.replace("8,1", "8,5"))),
        ("mine.csv", "a label with a point", "label", spoil.put("mine.csv", good.replace("8,1", "8,0.5"))),
        ("mine.csv", "an hour beyond the window", "hour", spoil.put("mine.csv", good.replace("1,1,hr", "1,99,hr"))),
        ("mine.csv", "a negative hour", "hour", spoil.put("mine.csv", good.replace("1,1,hr", "1,-1,hr"))),
        ("mine.csv", "a value twice", "row 3", spoil.put("mine.csv", good + "train,8,1,1,hr,91\n")),
        ("mine.csv", "a stay with two labels", "label", spoil.put("mine.csv", good + "train,8,0,2,hr,91\n")),
        (
            "mine.csv",
            "text for a value, of a stay with 30 digits",
            "row 1",
            spoil.put("mine.csv", good.replace("train,8", "train," + "9" * 30).replace("80", "high")),
        ),
        ("mine.csv.gz", "no gzip", "mine.csv.gz", spoil.put("mine.csv.gz", good)),
        ("mine.csv.gz", "truncated gzip", "mine.csv.gz", spoil.put("mine.csv.gz", gzip.compress(good.encode() * 99)[:80])),
        ("mine.parquet", "no Parquet", "mine.parquet", spoil.put("mine.parquet", good)),
        ("mine.npz", "no zip", "mine.npz", spoil.noise("mine.npz")),
        ("mine.npz", "an empty file", "mine.npz", spoil.put("mine.npz", "")),
        ("mine.npz", "a zip without arrays", "mine.npz", spoil.zipped("mine.npz", {"readme.txt": b"hello"})),
        ("mine.npz", "a member outside of the folder", "mine.npz", spoil.zipped("mine.npz", {"../x.npy": b"", **bomb})),
        ("mine.npz", "a zip bomb", "mine.npz", spoil.zipped("mine.npz", bomb)),
        ("mine.npz", "an array whose head claims a terabyte", "mine.npz", spoil.zipped("mine.npz", {"x.npy": _npy(b"", (2**37,))})),
        ("mine.npz", "an array of negative size", "mine.npz", spoil.zipped("mine.npz", {"x.npy": _npy(b"", (-5,))})),
        ("mine.npz", "objects", "mine.npz", spoil.npz("mine.npz", x=np.array([{}], object), label=label)),
        ("mine.npz", "text", "x", spoil.npz("mine.npz", x=np.full(x.shape, "a"), label=label)),
        ("mine.npz", "complex numbers", "x", spoil.npz("mine.npz", x=x.astype(complex), label=label)),
        ("mine.npz", "no labels", "label", spoil.npz("mine.npz", x=x)),
        ("mine.npz", "another shape", "x", spoil.npz("mine.npz", x=x[..., :9], label=label)),
        ("mine.npz", "a number for x", "x", spoil.npz("mine.npz", x=3.0, label=label)),
        ("mine.npz", "fewer labels than rows", "label", spoil.npz("mine.npz", x=x, label=label[1:])),
        ("mine.npz", "a label that does not exist", "label", spoil.npz("mine.npz", x=x, label=label + 1)),
        ("mine.npz", "a label that is no number", "label", spoil.npz("mine.npz", x=x, label=label * np.nan)),
        ("mine.npz", "an infinite value", "infinite", spoil.npz("mine.npz", x=x * np.inf, label=label)),
        ("mine.npz", "a value beyond single precision", "mine.npz", spoil.npz("mine.npz", x=x * 1e300, label=label)),
        ("mine.npz", "descriptors of another shape", "static", spoil.npz("mine.npz", x=x, label=label, static=label)),
        ("mine.npz", "no row", "mine.npz", spoil.npz("mine.npz", x=x[:0], label=label[:0])),
        ("mine.npz", "nothing observed", "mine.npz", spoil.npz("mine.npz", x=x * np.nan, label=label)),
        ("mine.npz", "one class only", "class", spoil.npz("mine.npz", x=x, label=0 * label)),
        ("mine.npy", "no labels beside it", "mine.label.npy", spoil.put("mine.npy", _npy(x.tobytes(), x.shape))),
        ("mine.npy", "random bytes", "mine.npy", spoil.both(spoil.noise("mine.npy"), spoil.noise("mine.label.npy"))),
        ("mine.pkl", "a program", "mine.pkl", spoil.pickled("mine.pkl", {"x": Runs(), "label": label})),
        ("mine.pkl", "truncated", "mine.pkl", spoil.both(spoil.pickled("mine.pkl", {"x": x, "label": label}), spoil.cut("mine.pkl"))),
        ("mine.pkl", "an object array", "mine.pkl", spoil.pickled("mine.pkl", {"x": np.array([{}], object), "label": label})),
        ("mine.pkl", "a list of lists of unequal length", "mine.pkl", spoil.pickled("mine.pkl", {"x": [[1], [1, 2]], "label": [0]})),
        ("mine.pkl", "nothing that could be x", "mine.pkl", spoil.pickled("mine.pkl", 7)),
        ("mine.doc", "a file of no known kind", "mine.doc", spoil.put("mine.doc", good)),
        ("none.csv", "no such file", "none.csv", nothing),
    ):
        yield Case(f"evaluate --real DATA --synthetic {name} --out out", f"{name}: {wrong}", names, done)


def _npy(body: bytes, shape: tuple[int, ...]) -> bytes:
    """A .npy file of doubles, true or not."""
    told = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    told += b" " * (-(len(told) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(told).to_bytes(2, "little") + told + body


YAML_FILES: Mapping[str, str] = {
    f"{MIMIC} --concepts own.yaml": "own.yaml",
    f"{MIMIC} --task own.yaml": "own.yaml",
    TABLE: "table/table.yaml",
    POLICY: "own.yaml",
}
BILLION = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


def yaml_files() -> Iterator[Case]:
    """Files that a user writes."""
    for base, file in YAML_FILES.items():
        name, of = Path(file).name, base.rpartition("--")[2].split()[0] if "own" in base else "layout"
        for wrong, content in {
            "is empty": "",
            "is not YAML": "a: [1, 2\nb: }",
            "holds random bytes": b"\x00\xff\xfe\x80" * 20,
            "is Latin-1": "variables: {caf\u00e9: 1}".encode("latin1"),
            "holds a list": "- 1\n- 2\n",
            "holds text": "hello",
            "holds a Python object": "variables: !!python/object/apply:os.system ['touch owned']\n",
            "holds a module of Python": "a: !!python/module:os\n",
            "refers to what is not there": "a: *b\n",
            "holds itself": "a: &a [*a]\n",
            "holds a day that does not exist": "variables: 2020-13-45\n",
            "grows a billion-fold": BILLION,
            "is nested 1,000 deep": "a: " + "[" * 1000,
            "has an unknown field": "colour: red\n",
            "names a key that is no text": "? [1, 2]\n: 3\n",
            "has two documents": "a: 1\n---\nb: 2\n",
        }.items():
            if content or base != POLICY:  # where an empty file changes nothing
                yield Case(base, f"{of}: {name} {wrong}", name, spoil.put(file, content))
        yield Case(base, f"{of}: {name} is missing", name, spoil.both(spoil.put(file, ""), spoil.removed(file)))
        yield Case(base, f"{of}: {name} is a folder", name, spoil.a_folder(file))
    for wrong, content in {
        "is empty": "",
        "is not YAML": "a: [1, 2",
        "holds a Python object": "a: !!python/object/apply:os.system [ls]",
    }.items():
        yield Case("variables mimic-iv --concepts own.yaml", f"concepts: own.yaml {wrong}", "own.yaml", spoil.put("own.yaml", content))
    yield Case("variables mimic-iv --concepts own.yaml", "concepts: own.yaml is missing", "own.yaml")
    concept = "variables: {{new: {{label: New, unit: u, limits: {limits}, limits_from: us, aggregation: {how}, normal: {normal}}}}}\n"
    for wrong, names, content in (
        ("limits the wrong way round", "limits", concept.format(limits="[5, 1]", how="mean", normal=2)),
        ("a normal value outside of the limits", "normal", concept.format(limits="[1, 5]", how="mean", normal=9)),
        ("an unknown aggregation", "aggregation", concept.format(limits="[1, 5]", how="median", normal=2)),
        ("limits that are no numbers", "variables.new", concept.format(limits="[.nan, .nan]", how="mean", normal=2)),
        ("text for limits", "limits", concept.format(limits="wide", how="mean", normal=2)),
        ("a place of an unknown variable", "found", "found: {mimic_iv: {nothing: {table: labevents, item: 1, label: L}}}\n"),
        ("a name twice", "hr", "variables: {hr: {normal: 80}, hr: {normal: 90}}\n"),
        ("a set of unknown variables", "sets.mine", "sets: {mine: [nothing]}\n"),
        ("a list for the variables", "variables", "variables: [1]\n"),
        ("a list for a variable", "variables.hr", "variables: {hr: [1]}\n"),
        ("a number for the places of a source", "found", "found: {mimic_iv: 3}\n"),
        ("a number for the descriptors", "statics", "statics: {mimic_iv: 3}\n"),
        ("a number for an ordering", "orderings", "orderings: [3]\n"),
        ("a number for the units", "units", "units: {mmHg: 3}\n"),
    ):
        yield Case(f"{MIMIC} --concepts own.yaml", f"own.yaml: {wrong}", names, spoil.put("own.yaml", content))
    task = "mine: {{rule: mine, classes: [well, ill], label: {label}}}\n"
    for wrong, names, content in (
        ("a column that the source lacks", "onset_minute", task.format(label="{column: onset_minute, at_most: 60}")),
        ("a condition without a column", "label", task.format(label="{at_most: 60}")),
        ("a condition without a limit", "label", task.format(label="{column: died}")),
        ("text for a limit", "label", task.format(label="{column: died, at_least: often}")),
        ("code for a condition", "label", task.format(label='\'__import__("os").system("touch owned")\'')),
        (
            "two tasks",
            "2 tasks",
            task.format(label="{column: died, equals: 1}") + task.format(label="{column: died, equals: 1}").replace("mine:", "b:", 1),
        ),
        ("one class", "classes", "mine: {rule: mine, classes: [well], label: {column: died, equals: 1}}\n"),
        ("a channel that nobody charts", "blood", task.format(label="{channel: blood, below: 1, to: 6 h}")),
        ("a channel that is a sum of others", "gcs", task.format(label="{channel: gcs, below: 9, to: 6 h}")),
        ("a channel without an end", "label", task.format(label="{channel: hr, below: 40}")),
        ("text for the limit of a channel", "label.below", task.format(label="{channel: hr, below: few, to: 6 h}")),
        ("a time that is longer than the look ahead", "label", task.format(label="{channel: hr, below: 40, for: 6 h, to: 6 h}")),
    ):
        yield Case(f"{MIMIC} --task own.yaml", f"own.yaml: {wrong}", names, spoil.put("own.yaml", content))
    for wrong, names, content in (
        ("an unknown field of a part", "clip", "ppo: {clip: 1}\n"),
        ("a number for a part", "ppo", "ppo: 5\n"),
        ("text for a number", "hidden", "hidden: many\n"),
        ("half an iteration", "iterations", "iterations: 2.5\n"),
        ("a number that is none", "vf_coef", "vf_coef: .nan\n"),
        ("no iteration", "iterations", "iterations: 0\n"),
        ("a row too few", "rows", "rows: 1\n"),
        ("more than all decisions", "share", "ppo: {share: 2}\n"),
        ("a width that is no multiple", "width", "discriminator: {width: 12}\n"),
    ):
        yield Case(POLICY, f"own.yaml: {wrong}", names, spoil.put("own.yaml", content))
    for wrong, names, old, new in (
        ("an unknown unit of time", "times", "times: minutes", "times: weeks"),
        ("a file that is not there", "charted2.csv", "charted.csv", "charted2.csv"),
        ("a file above the folder", "../x.csv", "charted.csv", "../x.csv"),
        ("a file that ends otherwise", "charted.doc", "charted.csv", "charted.doc"),
        ("a column that is not there", "weight", "value: value", "value: weight"),
        ("an unknown concept", "heart", "concept: hr", "concept: heart"),
        ("a name of a concept for a variable", "lact", "name: lactate_poc", "name: hr"),
        ("limits the wrong way round", "limits", "[0.1, 30]", "[30, 0.1]"),
        ("a scale that is text", "scale", "concept: sbp", "concept: sbp, scale: big"),
        ("a scale that is no number", "scale", "concept: sbp", "concept: sbp, scale: .nan"),
        ("an unknown conversion", "convert", "celsius", "kelvin"),
    ):
        yield Case(TABLE, f"table.yaml: {wrong}", names, spoil.text("table/table.yaml", old, new))


def raw_records() -> Iterator[Case]:
    """Raw records with mistakes; no message shows a patient's row."""
    chart, stays, items = "mimic/icu/chartevents.csv.gz", "mimic/icu/icustays.csv.gz", "mimic/icu/d_items.csv.gz"
    row = "3,103,203,,2150-01-01 00:30:00,,220045,80,80,,0"
    for file, wrong, names, done in (
        (chart, "is missing", "chartevents", spoil.removed(chart)),
        (chart, "is empty", "chartevents", spoil.put(chart, "")),
        (chart, "is no gzip", "chartevents", spoil.put(chart, "a,b\n1,2\n")),
        (chart, "is truncated", "chartevents", spoil.cut(chart)),
        (chart, "is a folder", "chartevents", spoil.a_folder(chart)),
        (chart, "lacks a column", "valuenum", spoil.text(chart, "valuenum", "number")),
        (chart, "has text for a value", "row 5", spoil.text(chart, row, row.replace("80,80", "80,fast"))),
        (chart, "has text for a time", "row 5", spoil.text(chart, row, row.replace("2150-01-01 00:30:00", "noon"))),
        (chart, "has text for a stay", "row 5", spoil.text(chart, row, row.replace("203", "Smith"))),
        (chart, "has a row that is too long", "row", spoil.text(chart, row, row + ",9,9")),
        (chart, "has a quote that is not closed", "row", spoil.text(chart, row, row.replace(",80", ',"80', 1))),
        (chart, "has semicolons for commas", "header", spoil.put(chart, gzip.compress(b"a;b\n1;2\n"))),
        (chart, "is no UTF-8", "chartevents", spoil.put(chart, gzip.compress(b"caf\xe9,b\n1,2\n"))),
        (stays, "is empty", "icustays", spoil.put(stays, gzip.compress(b""))),
        (stays, "holds a stay twice", "row 21", spoil.text(stays, "19,119,219", "19,119,218")),
        (stays, "has text for a number", "row 5", spoil.text(stays, "3,103,203", "3,103,Smith")),
        (stays, "has text for a time", "row 5", spoil.text(stays, "3,103,203,PACU,PACU,2150-01-01 00:30:00", "3,103,203,PACU,PACU,noon")),
        (items, "calls an item otherwise", "220045", spoil.text(items, "Heart Rate", "Heart Rhythm")),
    ):
        yield Case(MIMIC, f"{file} {wrong}", names, done)
    lab = "mimic/hosp/labevents.csv.gz"
    lab_case = MIMIC.replace("--variables hr", "--variables hr,creatinine")
    yield Case(lab_case, f"{lab} has a unit that is not known", "50912", spoil.text(lab, "mg/dL", "umol/L"))
    yield Case(lab_case, f"{lab} has text for a value", "row 2", spoil.text(lab, "1.5,1.5", "1.5,secret"))
    for name, wrong, names, done in (
        ("an archive", "truncated", "set-a.tar.gz", spoil.cut("p2012gz/set-a.tar.gz")),
        ("an archive", "no gzip", "set-a.tar.gz", spoil.put("p2012gz/set-a.tar.gz", "text")),
        ("an archive", "gzip, and no tar inside", "set-a", spoil.put("p2012gz/set-a.tar.gz", gzip.compress(b"text" * 999))),
        ("an archive", "empty", "set-a", spoil.archived("p2012gz/set-a.tar.gz", {})),
        ("an archive", "links only", "set-a", spoil.archived("p2012gz/set-a.tar.gz", {}, {"set-a/1.txt": "/etc/passwd"})),
        (
            "an archive",
            "members above the folder",
            "set-a",
            spoil.archived("p2012gz/set-a.tar.gz", {"../../1.txt": b"Time,Parameter,Value\nx"}),
        ),
        (
            "an archive",
            "a record of 70 MB",
            "set-a",
            spoil.archived("p2012gz/set-a.tar.gz", {"set-a/1.txt": b"Time,Parameter,Value\n" + b"\n" * 70_000_000}),
        ),
    ):
        yield Case(P2012GZ, f"{name}: {wrong}", names, done)
    record = "p2012/set-a/7.txt"
    for wrong, names, done in (
        ("is empty", "7.txt", spoil.put(record, "")),
        ("holds random bytes", "7.txt", spoil.noise(record)),
        ("has another header", "7.txt", spoil.text(record, "Time,Parameter,Value", "Time;Parameter;Value")),
        ("has text for a value", "line 8", spoil.text(record, "HR,67", "HR,secret")),
        ("has a number that is none", "line 8", spoil.text(record, "HR,67", "HR,nan")),
        ("has text for a time", "line 8", spoil.text(record, "00:10", "noon")),
        ("has a line of two fields", "line 8", spoil.text(record, "00:10,HR,67", "00:10,HR")),
        ("is no UTF-8", "7.txt", spoil.text(record, "HR,67", "HR,\udc80".encode("utf-8", "replace").decode())),
    ):
        yield Case(P2012, f"{record} {wrong}", names, done)
    outcomes = "p2012/Outcomes-a.txt"
    for wrong, names, done in (
        ("is missing", "Outcomes-a.txt", spoil.removed(outcomes)),
        ("is empty", "Outcomes-a.txt", spoil.put(outcomes, "")),
        ("holds random bytes", "Outcomes-a.txt", spoil.noise(outcomes)),
        ("lacks a record", "Outcomes-a.txt", spoil.text(outcomes, "7,1,1,5,-1,0\n", "")),
        ("holds a record twice", "line 42", spoil.text(outcomes, "40,1,1,5,-1,1\n", "40,1,1,5,-1,1\n7,1,1,5,-1,0\n")),
        ("has text for an outcome", "line 8", spoil.text(outcomes, "7,1,1,5,-1,0", "7,1,1,5,-1,dead")),
        ("is a folder", "Outcomes-a.txt", spoil.a_folder(outcomes)),
    ):
        yield Case(P2012, f"{outcomes} {wrong}", names, done)
    patient = "p2019/training_setA/p000007.psv"
    for wrong, names, done in (
        ("is empty", "p000007.psv", spoil.put(patient, "")),
        ("holds random bytes", "p000007.psv", spoil.noise(patient)),
        ("has text for a value", "line 2", spoil.text(patient, "\n77|", "\nsecret|")),
        ("has a field too many", "line 2", spoil.text(patient, "\n77|", "\n77|77|")),
        ("has an infinite value", "line 2", spoil.text(patient, "\n77|", "\ninf|")),
        ("has hours out of order", "p000007.psv", spoil.text(patient, "|2|0\n", "|1|0\n")),
    ):
        yield Case(P2019, f"{patient} {wrong}", names, done)
    for file, wrong, names, done in (
        ("eicu/patient.csv", "is missing", "patient", spoil.removed("eicu/patient.csv")),
        ("eicu/patient.csv", "lacks a column", "uniquepid", spoil.text("eicu/patient.csv", "uniquepid", "pid")),
        ("eicu/patient.csv", "has text for a stay", "row 5", spoil.text("eicu/patient.csv", "\n303,", "\nSmith,")),
        ("eicu/patient.csv", "has text for an age", "row 5", spoil.text("eicu/patient.csv", "00-3,Female,50", "00-3,Female,young")),
        ("eicu/patient.csv", "holds a stay twice", "row 6", spoil.text("eicu/patient.csv", "\n304,", "\n303,")),
        (
            "eicu/vitalPeriodic.csv",
            "has text for a value",
            "vitalPeriodic",
            spoil.text("eicu/vitalPeriodic.csv", "303,30,80", "303,30,secret"),
        ),
        (
            "eicu/vitalPeriodic.csv",
            "has a row that is too long",
            "vitalPeriodic",
            spoil.text("eicu/vitalPeriodic.csv", "303,30,80,,,,,,", "303,30,80,,,,,,,9,9"),
        ),
    ):
        yield Case(EICU, f"{file} {wrong}", names, done)
    dyn, sta, outc = "yaib/dyn.parquet", "yaib/sta.parquet", "yaib/outc.parquet"
    for file, wrong, names, done in (
        (dyn, "is missing", "dyn.parquet", spoil.removed(dyn)),
        (dyn, "is truncated", "dyn.parquet", spoil.cut(dyn)),
        (dyn, "lacks a column", "time", spoil.frame(dyn, lambda f: f.drop(columns="time"))),
        (dyn, "has text for the times", "time", spoil.frame(dyn, lambda f: f.assign(time="noon"))),
        (dyn, "has text for a variable", "hr", spoil.frame(dyn, lambda f: f.assign(hr="secret"))),
        (dyn, "has text for the stays", "stay_id", spoil.frame(dyn, lambda f: f.assign(stay_id="Smith"))),
        (sta, "holds random bytes", "sta.parquet", spoil.noise(sta)),
        (sta, "holds a stay twice", "row 2", spoil.frame(sta, lambda f: f.assign(stay_id=1))),
        (sta, "has text for an age", "row 1", spoil.frame(sta, lambda f: f.assign(age="secret"))),
        (outc, "is missing", "outc.parquet", spoil.removed(outc)),
        (outc, "has text for a label", "row 1", spoil.frame(outc, lambda f: f.assign(label="secret"))),
        (outc, "holds a stay twice", "outc.parquet", spoil.frame(outc, lambda f: f.assign(stay_id=1))),
    ):
        yield Case(YAIB, f"{file} {wrong}", names, done)
    shard = "meds/data/train/0.parquet"
    for file, wrong, names, done in (
        (shard, "is truncated", "0.parquet", spoil.cut(shard)),
        (shard, "lacks a column", "code", spoil.frame(shard, lambda f: f.rename(columns={"code": "word"}))),
        (shard, "has text for the times", "data", spoil.frame(shard, lambda f: f.assign(time="noon"))),
        (shard, "has text for the values", "data", spoil.frame(shard, lambda f: f.assign(numeric_value="secret"))),
        (shard, "has text for the patients", "data", spoil.frame(shard, lambda f: f.assign(subject_id="Smith"))),
        ("meds/metadata/codes.parquet", "holds random bytes", "codes.parquet", spoil.noise("meds/metadata/codes.parquet")),
        (
            "meds/metadata/subject_splits.parquet",
            "holds random bytes",
            "subject_splits.parquet",
            spoil.noise("meds/metadata/subject_splits.parquet"),
        ),
        (
            "meds/metadata/codes.parquet",
            "has text for a channel",
            "codes.parquet",
            spoil.frame("meds/metadata/codes.parquet", lambda f: f.assign(tardiff="x")),
        ),
    ):
        yield Case(MEDS, f"{file} {wrong}", names, done)
    long, stay = "table/charted.csv", "table/stays.csv"
    for file, wrong, names, done in (
        (long, "is missing", "charted.csv", spoil.removed(long)),
        (long, "is empty", "charted.csv", spoil.put(long, "")),
        (long, "holds random bytes", "charted.csv", spoil.noise(long)),
        (long, "has text for a value", "row 2", spoil.frame(long, lambda f: f.assign(value="clotted"))),
        (long, "has text for a time", "row 2", spoil.frame(long, lambda f: f.assign(minute="noon"))),
        (stay, "is missing", "stays.csv", spoil.removed(stay)),
        (stay, "holds random bytes", "stays.csv", spoil.noise(stay)),
        (stay, "holds a stay twice", "row 3", spoil.frame(stay, lambda f: f.assign(stay=1))),
        (stay, "has text for an age", "row 2", spoil.frame(stay, lambda f: f.assign(age="secret"))),
        (stay, "has text for an outcome", "row 2", spoil.frame(stay, lambda f: f.assign(died="perhaps"))),
        (stay, "has a label with a point", "readmitted", spoil.frame(stay, lambda f: f.assign(readmitted=0.5))),
        (stay, "has an unknown split", "split", spoil.frame(stay, lambda f: f.assign(part="dev"))),
    ):
        base = TABLE + (" --task given" if "label" in wrong else " --split publisher" if "split" in wrong else "")
        yield Case(base, f"{file} {wrong}", names, done)
    onset = P2012 + " --task sepsis3 --onset onset.csv"
    for wrong, names, content in (
        ("is empty", "onset.csv", ""),
        ("holds random bytes", "onset.csv", b"\x00\xff\xfe\x80" * 20),
        ("lacks a column", "onset_minute", "stay_id,when\n7,60\n"),
        ("has text for a stay", "row 2", "stay_id,onset_minute\nSmith,60\n"),
        ("has text for a minute", "row 2", "stay_id,onset_minute\n7,secret\n"),
        ("has an infinite minute", "row 2", "stay_id,onset_minute\n7,inf\n"),
        ("holds a stay twice", "row 3", "stay_id,onset_minute\n7,60\n7,90\n"),
        ("holds no stay of the source", "onset.csv", "stay_id,onset_minute\n999,60\n"),
        ("has times, and the source has none", "onset_time", "stay_id,onset_time\n7,2150-01-01 00:30:00\n"),
    ):
        yield Case(onset, f"onset.csv {wrong}", names, spoil.put("onset.csv", content))
    yield Case(onset, "no onset.csv", "onset.csv")
    yield Case(onset.replace("onset.csv", "onset.xls"), "onsets in a file of no known kind", "onset.xls", spoil.put("onset.xls", "x"))


KINDS = tuple(map(tuple, (command_lines(), options(), places(), damaged(), contents(), foreign(), yaml_files(), raw_records())))
CASES = tuple(case for kind in KINDS for case in kind)
FIRST = frozenset(case for kind in KINDS for case in {case.command: case for case in reversed(kind)}.values())
"""The first case of each kind for each command, which the quick tests run."""


def row(case: Case, said: str) -> str:
    """A line of the page."""
    cells = (f"`{case.command}`", case.wrong, said)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;").replace(LONG, "nnn...") for cell in cells) + " |"


if __name__ == "__main__":
    import pytest

    os.environ[REWRITE] = "1"
    sys.exit(pytest.main(["-q", "-p", "no:xdist", str(Path(__file__).with_name("test_bad_inputs.py"))]))
