"""The audit finds traps that are set for it, and none where there is none."""

import json
import shutil
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from tardiff.audit import audit
from tardiff.base.files import write_struct
from tardiff.data.codec import Codec
from tardiff.data.dataset import AttritionStep, Dataset, Split
from tardiff.data.statics import StaticModel
from tests.commands.test_cli import call
from tests.evaluate import toys

STEPS = (AttritionStep("every stay", 900, 900), AttritionStep("old enough", 800, 800))


def clean(rows: int = 600) -> Dataset:
    data = toys.real(rows)
    return Dataset(msgspec.structs.replace(data.manifest, attrition=STEPS), data.splits)


def changed(data: Dataset, split: str = "test", **arrays: np.ndarray) -> Dataset:
    return Dataset(data.manifest, {**data.splits, split: replace(data.splits[split], **arrays)})


def everywhere(data: Dataset, change) -> Dataset:
    return Dataset(data.manifest, {name: change(split) for name, split in data.splits.items()})


def channel(data: Dataset, **fields) -> Dataset:
    """The data with other fields of its first channel."""
    first, *others = data.manifest.channels
    return Dataset(msgspec.structs.replace(data.manifest, channels=(msgspec.structs.replace(first, **fields), *others)), data.splits)


def statuses(data: Dataset, *runs) -> dict[str, str]:
    return {finding.trap: finding.status for finding in audit(data, runs)}


def written(data: Dataset, path) -> None:
    """A folder as somebody else's program might write it, without the checks of `save`."""
    complete = data.completed()
    path.mkdir()
    for name, split in complete.splits.items():
        save_file(split.arrays(), path / f"{name}.safetensors")
    write_struct(path / "manifest.json", complete.manifest)


def observed(split: Split, c: int = 0) -> np.ndarray:
    return split.values[:, c][split.mask[:, c] == 1].astype(np.float64)


def pooled(data: Dataset, c: int = 0) -> np.ndarray:
    return np.concatenate([observed(split, c) for split in data.splits.values()])


def test_clean_data_pass() -> None:
    assert set(statuses(clean()).values()) == {"pass"}


def test_a_patient_in_two_splits() -> None:
    data = clean()
    subjects = data.splits["test"].subject_id.copy()
    subjects[7] = data.train.subject_id[3]
    findings = {f.trap: f for f in audit(changed(data, subject_id=subjects))}
    assert findings["patients in two splits"].status == "fail"
    assert findings["patients in two splits"].numbers["shared"] == 1


def test_a_record_under_another_id() -> None:
    data = clean()
    test = data.splits["test"]
    values, mask = test.values.copy(), test.mask.copy()
    values[5], mask[5] = data.train.values[9], data.train.mask[9]
    assert statuses(changed(data, values=values, mask=mask))["same record under another id"] == "fail"
    values[5], mask[5] = values[6], mask[6]
    assert statuses(changed(data, values=values, mask=mask))["same record under another id"] == "warn"


def test_values_after_the_cutoff() -> None:
    data = clean()
    length = data.splits["test"].length.copy()
    length[4] = 3
    assert statuses(changed(data, length=length))["values after the cutoff"] == "fail"
    assert statuses(changed(data, origin_minute=data.splits["test"].origin_minute - 30))["values after the cutoff"] == "warn"


STATISTICS = "statistics from test rows"


def test_limits_and_normal_values_of_all_rows() -> None:
    data = clean()
    both, train = pooled(data), observed(data.train)
    assert train.max() < both.max() or train.min() > both.min()
    assert statuses(channel(data, normal=float(both.mean())))[STATISTICS] == "fail"
    assert statuses(channel(data, normal=float(train.mean())))[STATISTICS] == "pass"
    assert statuses(channel(data, limits=(float(both.min()), float(both.max()))))[STATISTICS] == "fail"
    assert statuses(channel(data, limits=(float(train.min()), float(train.max()))))[STATISTICS] == "pass"


def test_a_written_range_that_only_a_test_row_reaches() -> None:
    """Oxygen from 21 to 100 %: whoever breathes the pure one may be in any split."""
    data = everywhere(clean(), lambda split: replace(split, values=np.clip(split.values, 21, 99)))
    values = data.splits["test"].values.copy()
    first = tuple(np.argwhere(data.splits["test"].mask[:, 0] == 1)[0])
    values[first[0], 0, first[1]] = 100
    lowest = data.train.values.copy()
    lowest[tuple(np.insert(np.argwhere(data.train.mask[:, 0] == 1)[0], 1, 0))] = 21
    whole = channel(changed(changed(data, values=values), "train", values=lowest), limits=(21.0, 100.0))
    assert (pooled(whole).min(), pooled(whole).max()) == (21, 100)
    assert observed(whole.train).max() < 100
    assert statuses(whole)[STATISTICS] == "pass"


def test_values_scaled_by_all_rows() -> None:
    data = clean()

    def scaled(values: np.ndarray) -> Dataset:
        centre, spread = values.mean(), values.std()
        return everywhere(data, lambda split: replace(split, values=((split.values - centre) / spread).astype(np.float32)))

    assert statuses(scaled(pooled(data)))[STATISTICS] == "fail"
    assert statuses(scaled(observed(data.train)))[STATISTICS] == "warn"


def test_gaps_filled_with_the_mean_of_all_rows() -> None:
    data = clean()

    def filled(mean: float) -> Dataset:
        return everywhere(
            data,
            lambda split: replace(split, values=np.where(split.mask == 1, split.values, np.float32(mean)), mask=np.ones_like(split.mask)),
        )

    findings = {f.trap: f for f in audit(filled(float(pooled(data).mean())))}
    assert findings[STATISTICS].status == "fail"
    assert "filled with the mean" in findings[STATISTICS].said
    assert statuses(filled(float(observed(data.train).mean())))[STATISTICS] == "pass"


def test_rules_that_look_ahead_are_listed() -> None:
    data = clean()
    steps = (*STEPS, AttritionStep("lived long", 700, 700, looks_ahead=True))
    ahead = Dataset(msgspec.structs.replace(data.manifest, attrition=steps), data.splits)
    finding = next(f for f in audit(ahead) if f.trap == "rules that look ahead")
    assert (finding.status, finding.said) == ("warn", "lived long (leaves out 100)")
    without = Dataset(msgspec.structs.replace(data.manifest, attrition=()), data.splits)
    assert statuses(without)["rules that look ahead"] == "warn"


def test_splits_that_differ() -> None:
    data = clean()
    sick = data.splits["test"].take(np.flatnonzero((data.splits["test"].label == 1) | (np.arange(600) % 4 == 0)))
    assert statuses(Dataset(data.manifest, {**data.splits, "test": sick}))["class balance"] == "warn"
    test = data.splits["test"]
    fewer = test.mask * (np.random.default_rng(0).random(test.mask.shape) < 0.8)
    fewer = fewer.astype(np.uint8)
    assert statuses(changed(data, mask=fewer, values=np.where(fewer == 1, test.values, np.nan)))["missingness drift"] == "warn"


def test_a_mask_that_tells_the_label() -> None:
    def hidden(split: Split) -> Split:
        mask = split.mask.copy()
        mask[split.label == 1, :, ::2] = 0
        return replace(split, mask=mask, values=np.where(mask == 1, split.values, np.nan))

    assert statuses(everywhere(clean(), hidden))["mask alone predicts the label"] == "fail"


PADDING = "length or padding predicts the label"


@pytest.mark.parametrize("kind", ["length", "silent", "zeros", "frozen"])
def test_padding_that_tells_the_label(kind: str) -> None:
    """The dead end two steps early: marked as such, silent, filled with zeros, or with what was seen last."""

    def padded(split: Split) -> Split:
        dead = split.label == 1
        values, mask, length = split.values.copy(), split.mask.copy(), split.length.copy()
        values[dead, :, 4:] = {"zeros": 0.0, "frozen": 80.0}.get(kind, np.nan)
        mask[dead, :, 4:] = kind in ("zeros", "frozen")
        length[dead] = 4 if kind == "length" else 6
        return replace(split, values=values, mask=mask, length=length)

    assert statuses(everywhere(clean(), padded))[PADDING] == "fail"


def test_a_few_rows_that_end_early_are_enough() -> None:
    """An area under the curve hides twenty rows; that all of them died does not."""

    def padded(split: Split) -> Split:
        few = np.flatnonzero(split.label == 1)[:12]
        values, mask, length = split.values.copy(), split.mask.copy(), split.length.copy()
        values[few, :, 4:], mask[few, :, 4:], length[few] = np.nan, 0, 4
        return replace(split, values=values, mask=mask, length=length)

    findings = {f.trap: f for f in audit(everywhere(clean(), padded))}
    assert findings[PADDING].status == "fail"
    assert findings[PADDING].numbers["ending"]["auroc"]["low"] < 0.6


def test_an_hour_that_tells_the_label() -> None:
    random = np.random.default_rng(1)

    def late(split: Split) -> Split:
        return replace(split, origin_minute=60 * random.integers(6, 48, len(split)) + 1200 * split.label)

    trap = "time of the prediction predicts the label"
    assert statuses(everywhere(clean(), late))[trap] == "fail"
    fair = everywhere(clean(), lambda split: replace(split, origin_minute=60 * random.integers(6, 48, len(split))))
    assert statuses(fair)[trap] == "pass"


def test_what_cannot_be_told_is_skipped() -> None:
    data = clean()
    alone = statuses(Dataset(data.manifest, {"train": data.train}))
    assert [trap for trap, status in alone.items() if status == "skip"] == [
        STATISTICS,
        "missingness drift",
        "mask alone predicts the label",
        PADDING,
        "time of the prediction predicts the label",
    ]
    validation = data.splits["validation"]
    few = np.concatenate([np.flatnonzero(validation.label == 1)[:9], np.flatnonzero(validation.label == 0)])
    findings = {f.trap: f for f in audit(Dataset(data.manifest, {**data.splits, "validation": validation.take(few)}))}
    assert findings[PADDING].said == "validation has 9 rows of class died; 10 are needed to tell"


def test_what_was_fitted_must_come_from_training_rows(toy, run, clf, tmp_path, capsys) -> None:
    data = toy[1]
    found = statuses(data, run[0], clf[0])
    assert (found["statistics in pipeline run"], found["statistics in classifier clf"]) == ("pass", "pass")
    assert call("audit", toy[0], "--run", run[0]) in (0, 1)
    shutil.copytree(clf[0], tmp_path / "clf")
    everything = Split.concatenate([data.train, data.splits["test"]])
    (tmp_path / "clf" / "codec.json").unlink()
    Codec.fit(everything, data.manifest).save(tmp_path / "clf" / "codec.json")
    capsys.readouterr()
    assert call("audit", toy[0], "--run", tmp_path / "clf") == 1
    assert "codec.json was fitted on train and test rows" in capsys.readouterr().out
    shutil.copytree(run[0], tmp_path / "run")
    statics = StaticModel.load(run[0] / "statics.json")
    (tmp_path / "run" / "statics.json").unlink()
    msgspec.structs.replace(statics, centre=(statics.centre[0] + 1e-6, *statics.centre[1:])).save(tmp_path / "run" / "statics.json")
    assert statuses(data, tmp_path / "run")["statistics in pipeline run"] == "fail"


def test_from_the_shell(tmp_path, capsys) -> None:
    data = clean()
    written(data, tmp_path / "clean")
    assert call("audit", tmp_path / "clean", "--json", tmp_path / "audit.json") == 0
    assert "no trap found; 0 to keep in mind" in capsys.readouterr().out
    findings = json.loads((tmp_path / "audit.json").read_text())
    assert len(findings) == 10
    assert {finding["status"] for finding in findings} == {"pass"}
    mask = next(f for f in findings if f["trap"].startswith("mask"))["numbers"]["mask"]["auroc"]
    assert mask["low"] <= mask["value"] <= mask["high"]

    subjects = data.splits["test"].subject_id.copy()
    subjects[0] = data.train.subject_id[0]
    written(changed(data, subject_id=subjects), tmp_path / "leaky")
    assert call("audit", tmp_path / "leaky") == 1
    assert "1 trap found" in capsys.readouterr().out
    assert call("train", tmp_path / "leaky", "--out", tmp_path / "run") == 2  # everything else refuses it
    assert call("audit", tmp_path / "leaky", "--json", tmp_path / "audit.json") == 2
    assert "exists already" in capsys.readouterr().err
    assert call("audit", tmp_path / "none") == 2
    assert call("audit", tmp_path / "clean", "--run", tmp_path / "leaky") == 2
    assert "neither a pipeline folder" in capsys.readouterr().err
