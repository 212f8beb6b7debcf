import os
import pickle
import pickletools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.evaluate.pickles import read_pickle
from tardiff.evaluate.readers import read_synthetic

from ..conftest import make_dataset
from .toys import real, rows, synthetic

LIKE = make_dataset(40)
ROOT = Path(__file__).parents[2]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.fixture
def generated():
    """Synthetic rows as `sample` numbers them: descriptors with gaps, an ordinal channel, one row without a value."""
    from dataclasses import replace

    import msgspec

    train = LIKE.train
    number = np.arange(len(train), dtype=np.int64)
    manifest = msgspec.structs.replace(LIKE.manifest, synthetic=True)
    values, mask, static = train.values.copy(), train.mask.copy(), train.static.copy()
    values[5], mask[5], static[5, 0] = np.nan, 0, 60
    return Dataset(manifest, {"train": replace(train, values=values, mask=mask, static=static, stay_id=number, subject_id=number)})


def same(ours, theirs):
    for name, array in theirs.arrays().items():
        np.testing.assert_array_equal(ours.arrays()[name], array, err_msg=name)
        assert ours.arrays()[name].dtype == array.dtype


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "table.parquet"])
def test_what_was_exported_comes_back(name, generated, tmp_path):
    generated.export(tmp_path / name)
    back = read_synthetic(tmp_path / name, LIKE)
    assert back.manifest.synthetic
    assert set(back.splits) == {"train"}
    same(back.train, generated.train)
    generated.save(tmp_path / "folder")
    same(read_synthetic(tmp_path / "folder", LIKE).train, generated.train)


def test_stays_may_have_any_names_and_values_may_be_missing(tmp_path):
    frame = pd.DataFrame(
        {
            "split": "train",
            "stay_id": ["b", "a", "a", "b"],
            "label": [1, 0, 0, 1],
            "hour": [2, 0, 9.0, None],
            "variable": ["hr", "hr", "gcs", "age"],
            "value": [81.5, None, 14, 70],
        }
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    train = read_synthetic(tmp_path / "x.csv", LIKE).train
    assert train.label.tolist() == [0, 1]
    assert train.mask.sum() == 2
    assert (train.values[1, 0, 2], train.values[0, 3, 9], train.static[1, 0]) == (81.5, 14, 70)


def arrays(generated):
    return {"x": generated.train.values, "label": generated.train.label, "static": generated.train.static}


def test_channels_that_the_file_names_are_put_in_order(generated, tmp_path):
    order = [3, 0, 2, 1]
    named = arrays(generated) | {"x": generated.train.values[:, order], "channels": np.array(LIKE.manifest.channel_names)[order]}
    np.savez(tmp_path / "a.npz", **named)
    same(read_synthetic(tmp_path / "a.npz", LIKE).train, generated.train)
    np.savez(tmp_path / "b.npz", **(named | {"channels": ["hr", "dbp", "sbp", "temp"]}))
    with pytest.raises(TardiffError, match=r"b\.npz: channels are hr, dbp, sbp, temp; the real data have hr, dbp, sbp, gcs"):
        read_synthetic(tmp_path / "b.npz", LIKE)


def test_labels_may_be_words(generated, tmp_path):
    words = np.array(LIKE.manifest.task.classes)[generated.train.label]
    np.savez(tmp_path / "a.npz", **(arrays(generated) | {"label": words}))
    same(read_synthetic(tmp_path / "a.npz", LIKE).train, generated.train)
    frame = generated.frame()
    frame["label"] = np.array(LIKE.manifest.task.classes)[frame["label"]]
    frame.to_csv(tmp_path / "a.csv", index=False)
    same(read_synthetic(tmp_path / "a.csv", LIKE).train, generated.train)


def test_arrays_that_are_not_read_are_named(generated, tmp_path, capsys):
    np.savez(tmp_path / "a.npz", **arrays(generated))
    read_synthetic(tmp_path / "a.npz", LIKE)
    assert not capsys.readouterr().err
    np.savez(tmp_path / "b.npz", **arrays(generated), mask=generated.train.mask)
    same(read_synthetic(tmp_path / "b.npz", LIKE).train, generated.train)
    assert "b.npz: not read: mask (only x, label, static and channels are)" in capsys.readouterr().err


def test_values_in_another_unit_are_doubted(generated, tmp_path, capsys):
    train, names = generated.train, LIKE.manifest.channel_names
    hr = names.index("hr")
    few, many = train.values.copy(), train.values.copy()
    few[:2, hr], many[:, hr] = few[:2, hr] * 60, many[:, hr] * 60  # beats an hour
    for name, values, doubted in (("as-charted", train.values, False), ("two-records", few, False), ("an-hour", many, True)):
        np.savez(tmp_path / f"{name}.npz", x=values, label=train.label)
        read_synthetic(tmp_path / f"{name}.npz", LIKE)
        said = capsys.readouterr().err
        assert ("as if in another unit: hr (100% outside" in said) == doubted
        assert said.count("\n") == doubted


def test_as_many_channels_as_steps_is_said_and_read_by_the_limits(tmp_path, capsys):
    like = make_dataset(30, steps=4)
    for name, x in (("nct", like.train.values), ("ntc", like.train.values.transpose(0, 2, 1))):
        np.savez(tmp_path / f"{name}.npz", x=x, label=like.train.label)
        np.testing.assert_array_equal(read_synthetic(tmp_path / f"{name}.npz", like).train.values, like.train.values)
        assert "x has as many channels as steps; read as [N, " in capsys.readouterr().err


def test_arrays_in_either_order_of_axes(generated, tmp_path):
    x, label = generated.train.values, generated.train.label
    np.savez(tmp_path / "a.npz", **arrays(generated))
    same(read_synthetic(tmp_path / "a.npz", LIKE).train, generated.train)
    np.save(tmp_path / "b.npy", x.transpose(0, 2, 1).astype(np.float64))
    np.save(tmp_path / "b.label.npy", label.astype(np.float32)[:, None])
    back = read_synthetic(tmp_path / "b.npy", LIKE).train
    np.testing.assert_array_equal(back.values, x)
    np.testing.assert_array_equal(back.label, label)
    assert np.isnan(back.static).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickled_arrays_come_back_bit_for_bit(protocol, generated, tmp_path):
    x, label = generated.train.values, generated.train.label
    odd = {
        "fortran": np.asfortranarray(x.astype(np.float64)),
        "big endian": label.astype(">i4"),
        "truth": label > 0,
        "number": np.float32(0.5),
        "list": [1, "two", (3.0, None)],
        "empty": np.zeros((0, 3)),
    }
    (tmp_path / "odd.pkl").write_bytes(pickle.dumps(odd, protocol))
    back = read_pickle(tmp_path / "odd.pkl")
    for name in odd:
        np.testing.assert_equal(back[name], odd[name])
        assert getattr(back[name], "dtype", None) == getattr(odd[name], "dtype", None)
    for content in ((x, label), [label, x], {"samples": x, "y": label, "note": "hello"}, arrays(generated)):
        (tmp_path / "release.pickle").write_bytes(pickle.dumps(content, protocol))
        found = read_synthetic(tmp_path / "release.pickle", LIKE).train
        np.testing.assert_array_equal(found.values, x)
        np.testing.assert_array_equal(found.label, label)


class Runs:
    def __init__(self, call, *arguments):
        self.call = call, arguments

    def __reduce__(self):
        return self.call


def test_a_malicious_pickle_runs_nothing(generated, tmp_path):
    target = tmp_path / "owned"
    x, label = generated.train.values, generated.train.label
    programs = {
        "system": Runs(os.system, f"touch {target}"),
        "open": Runs(open, str(target), "w"),
        "eval": Runs(eval, f"open({str(target)!r}, 'w')"),
        "hidden": {"x": x, "label": label, "extra": [Runs(exec, f"open({str(target)!r}, 'w')")]},
        "in an array": np.array([Runs(os.mkdir, str(target))], dtype=object),
        "load": Runs(np.load, str(target)),
        "frame": pd.DataFrame({"a": [1]}),
        "path": tmp_path,
        "buffer": Runs(np.ndarray, (1,), np.dtype("f8"), b"12345678"),
        "date": np.array(["2020-01-01"], dtype="M8[D]"),
        "text": np.array(["a"]),
    }
    for name, program in programs.items():
        for protocol in PROTOCOLS:
            path = tmp_path / f"{name}.pkl"
            path.write_bytes(pickle.dumps(program, protocol))
            with pytest.raises(TardiffError) as refused:
                read_synthetic(path, LIKE)
            assert str(path) in str(refused.value)
            assert "\n" not in str(refused.value)
            assert not target.exists()
    pickle.loads((tmp_path / "open.pkl").read_bytes())
    assert target.exists(), "the program would have worked"


def test_a_damaged_pickle_is_one_line(tmp_path):
    whole = pickle.dumps({"x": np.ones((2, 4, 10)), "label": np.zeros(2, int)})
    places = [position for _, _, position in pickletools.genops(whole)]
    for cut in places[:: max(1, len(places) // 20)]:
        (tmp_path / "cut.pkl").write_bytes(whole[:cut])
        with pytest.raises(TardiffError, match=r"cut\.pkl"):
            read_synthetic(tmp_path / "cut.pkl", LIKE)


def test_the_page_makes_a_wide_table_long(generated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = generated.train
    long = [
        (int(stay), hour, int(died), name, train.values[row, c, hour])
        for row, (stay, died) in enumerate(zip(train.stay_id, train.label, strict=True))
        for c, name in enumerate(LIKE.manifest.channel_names)
        for hour in range(LIKE.manifest.steps)
    ]
    frame = pd.DataFrame(long, columns=["stay_id", "hour", "died", "variable", "value"])
    frame.pivot(index=["stay_id", "hour", "died"], columns="variable", values="value").reset_index().to_csv("wide.csv", index=False)
    with pytest.raises(TardiffError, match=r"no column 'split'.*makes a wide table long"):
        read_synthetic("wide.csv", LIKE)
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "evaluate.md").read_text(), re.S)
    exec(snippet, {})
    np.testing.assert_array_equal(read_synthetic("mine.csv.gz", LIKE).train.values, train.values)


def table(**columns):
    good = {"split": ["train"] * 2, "stay_id": [7, 8], "label": [0, 1], "hour": [0, 1], "variable": ["hr"] * 2, "value": [80, 90]}
    return pd.DataFrame(good | columns)


BAD_TABLES = {
    "no column 'value'": table().drop(columns="value"),
    "row 2: split 'dev' is none of": table(split=["train", "'dev'"]),
    "row 1: stay_id": table(stay_id=["", "b"]),
    "row 2: the real data have no variable pulse": table(variable=["hr", "pulse"]),
    "row 2: value is no number": table(value=[80, "high"]),
    "row 1: hour is not the start of one of the 10 steps": table(hour=[0.5, 1]),
    "row 2: hour is not": table(hour=[0, 10]),
    "row 2: label is none of 0 \\(survived\\), 1 \\(died\\)": table(label=[0, 2]),
    "row 2: its label is not that of the first row of its stay": table(stay_id=[7, 7]),
    "row 2: hr has a value at this stay and hour already": table(stay_id=[7, 7], label=[0, 0], hour=[1, 1]),
    "the training split is empty": table(split=["test"] * 2),
}


@pytest.mark.parametrize("message", BAD_TABLES)
def test_a_table_that_does_not_fit_is_refused(message, tmp_path):
    BAD_TABLES[message].to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(TardiffError, match=rf"mine\.csv.*{message}"):
        read_synthetic(tmp_path / "mine.csv", LIKE)


X = np.ones((3, 4, 10))
BAD_ARRAYS = {
    "no array 'label'": {"x": X},
    r"x has shape \(3, 4, 9\); needed is \[N, 4, 10\] \(hr, dbp, sbp, gcs": {"x": X[..., :9], "label": [0, 1, 0]},
    "x has 3 rows, label 2": {"x": X, "label": [0, 1]},
    "label, row 1: none of": {"x": X, "label": [0, 5, 1]},
    "x holds <U1, not numbers": {"x": np.full(X.shape, "a"), "label": [0, 1, 0]},
    "x, row 0, hr, step 0 is infinite": {"x": np.full(X.shape, np.inf), "label": [0, 1, 0]},
    "label, row 1: none of 0 ": {"x": X, "label": [LIKE.manifest.task.classes[0], "dead", "alive"]},
    r"label has shape \(3, 2\); needed is \[N\]": {"x": X, "label": np.eye(3, 2)},
    "channels are hr, lactate; the real data have": {"x": X[:, :2], "label": [0, 1, 0], "channels": ["hr", "lactate"]},
    "static has shape": {"x": X, "label": [0, 1, 0], "static": X[..., 0]},
    "sex must be 0..1": {"x": X, "label": [0, 1, 0], "static": np.full((3, 2), 7.0)},
}


@pytest.mark.parametrize("message", BAD_ARRAYS)
def test_arrays_that_do_not_fit_are_refused(message, tmp_path):
    np.savez(tmp_path / "mine.npz", **BAD_ARRAYS[message])
    with pytest.raises(TardiffError, match=rf"mine\.npz.*{message}"):
        read_synthetic(tmp_path / "mine.npz", LIKE)


def test_files_that_are_no_data_are_refused(tmp_path):
    for name in ("a.csv", "a.csv.gz", "a.parquet", "a.npz", "b.npy", "a.pkl", "a.doc"):
        (tmp_path / name).write_bytes(b"\x00\xff nothing")
        (tmp_path / "b.label.npy").write_bytes(b"nothing")
        with pytest.raises(TardiffError, match=name):
            read_synthetic(tmp_path / name, LIKE)
    np.save(tmp_path / "c.npy", X)
    with pytest.raises(TardiffError, match=r"c\.npy: has no labels; save them next to it as c\.label\.npy"):
        read_synthetic(tmp_path / "c.npy", LIKE)
    np.save(tmp_path / "d.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "d.label.npy", np.zeros(1))
    with pytest.raises(TardiffError, match=r"d\.npy: not a file of plain NumPy arrays"):
        read_synthetic(tmp_path / "d.npy", LIKE)
    with pytest.raises(TardiffError, match="no such file"):
        read_synthetic(tmp_path / "none.csv", LIKE)


def test_what_is_no_array_is_named(tmp_path):
    for content, match in (({"x": [[1], [1, 2]], "label": [0]}, "are no arrays"), ((np.array(1.0), 7), "0 arrays could be x")):
        (tmp_path / "odd.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(TardiffError, match=rf"odd\.pkl.*{match}"):
            read_synthetic(tmp_path / "odd.pkl", LIKE)


def test_two_arrays_that_could_be_x(tmp_path):
    (tmp_path / "two.pkl").write_bytes(pickle.dumps((X, X, np.zeros(3, int))))
    with pytest.raises(TardiffError, match=r"two\.pkl: 2 arrays could be x"):
        read_synthetic(tmp_path / "two.pkl", LIKE)


@pytest.mark.slow
def test_evaluation_takes_files(tmp_path):
    from tardiff.evaluate import evaluate
    from tardiff.settings import EvaluateSettings

    part = rows(100, 8)
    np.savez(tmp_path / "theirs.npz", x=part.values, label=part.label)
    settings = EvaluateSettings(models=("logistic",), seeds=1, ratios=(), bootstrap=20, workers=1)
    theirs, ours = (evaluate(real(), {"s": data}, settings) for data in (tmp_path / "theirs.npz", synthetic(part)))
    assert theirs["utility"] == ours["utility"]
