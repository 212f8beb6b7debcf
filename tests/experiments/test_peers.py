"""The comparison with peers: nothing is lost on the way to a peer and back, the budget holds, and failures become rows of the table.

No peer is needed here: what they are given and what they give is what is tested.
"""

import ast
import re
import shutil
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from experiments.harness.shared import Work
from experiments.peers.cells import Lab, PeerError
from experiments.peers.clock import Clock
from experiments.peers.environments import NAMES, make
from experiments.peers.exchange import dataset_of, records_of, without_descriptors
from experiments.peers.membership import calibrated_membership
from experiments.peers.protocol import HERE, PEERS, SEEDS, Peer, _functions
from experiments.peers.records import Records
from experiments.peers.run import REAL, chosen, last
from experiments.peers.run import main as run_peers
from experiments.peers.shapes import STAY, Complete, filled, from_long_table, long_table
from experiments.peers.table import BEGIN, CONTROL, END, figure, main, results, table
from tardiff.base.ledger import Ledger
from tardiff.compare.baselines import BASELINES
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.errors import InputError
from tardiff.evaluate.bootstrap import packed
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.trial import Trial
from tests.conftest import make_dataset

NAN = np.nan


@pytest.fixture(scope="module")
def real():
    return without_descriptors(make_dataset(rows=160))


@pytest.fixture(scope="module")
def records(real):
    return records_of(real.train, real.manifest)


def small(values):
    values = np.asarray(values, np.float32)
    return Records(values, np.arange(len(values)) % 2, tuple(f"c{i}" for i in range(values.shape[1])), (5.0,) * values.shape[1])


def equal(ours, theirs, **tolerance):
    assert np.array_equal(ours.charted, theirs.charted)
    assert np.array_equal(ours.label, theirs.label)
    np.testing.assert_allclose(ours.values, theirs.values, **{"rtol": 0, "atol": 0} | tolerance)


def gaps():
    """Any stays, with a channel that may be constant or never charted."""
    value = st.one_of(st.just(NAN), st.floats(-500, 500, width=16))
    return st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6)).flatmap(
        lambda shape: arrays(np.float32, shape, elements=value)
    )


def test_a_data_set_goes_to_a_file_of_records_and_back(real, records, tmp_path):
    records.save(tmp_path / "x.npz")
    equal(Records.load(tmp_path / "x.npz"), records)
    back = dataset_of(tmp_path / "x.npz", real)
    for name in ("values", "mask", "label"):
        assert np.array_equal(getattr(back.train, name), getattr(real.train, name), equal_nan=name == "values"), name
    assert back.manifest.statics == ()
    assert back.manifest.synthetic


def test_a_stay_that_is_too_short_is_refused(real):
    short = replace(real.train, length=real.train.length - (np.arange(len(real.train)) == 3).astype(np.int32))
    with pytest.raises(InputError, match="shorter than 10 steps"):
        records_of(short, real.manifest)


@given(gaps(), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_a_long_table_gives_every_value_back_however_stays_are_mixed(values, random):
    there = small(values)
    rows = long_table(there)
    assert len(rows) == there.values.shape[0] * there.values.shape[2]
    order = list(range(len(rows)))
    random.shuffle(order)
    stay = rows[STAY].to_numpy()[order]
    mixed = np.empty(len(rows), int)  # stays mixed, each stay's hours in order
    for number in np.unique(stay):
        mixed[stay == number] = np.flatnonzero(rows[STAY].to_numpy() == number)
    equal(from_long_table(rows.iloc[mixed], there.label, there), there)


def test_a_long_table_of_another_length_is_filled_up_or_cut():
    like = small([[[1, 2, 3]]])
    made = pd.DataFrame({STAY: [1, 0, 1, 1, 1], "c0": [1.0, 7.0, None, 3.0, 9.0]})
    back = from_long_table(made, np.array([0, 1, 1]), like)
    np.testing.assert_array_equal(back.values, np.array([[[7, NAN, NAN]], [[1, NAN, 3]], [[NAN, NAN, NAN]]], np.float32))
    with pytest.raises(ValueError, match="stays 0 to 1"):
        from_long_table(made, np.array([0]), like)


def test_values_are_carried_forward_from_the_normal_value():
    there = small([[[NAN, 1, NAN, NAN, 2], [NAN, NAN, NAN, NAN, NAN]]])
    np.testing.assert_array_equal(filled(there), [[[5, 1, 1, 1, 2], [5, 5, 5, 5, 5]]])


@given(gaps(), st.sampled_from(["standard", "unit"]))
@settings(max_examples=40)
def test_complete_arrays_give_values_and_mask_back(values, shape):
    there = small(values)
    complete = Complete.fit(there, shape)
    cube = complete.encode(there)
    assert cube.shape == (len(there), values.shape[2], 2 * values.shape[1])
    assert np.isfinite(cube).all()
    if shape == "unit":
        assert cube.min() >= 0
        assert cube.max() <= 1
    equal(complete.decode(cube, there.label, there), there, atol=1e-4 * complete.scale.max() + 1e-4)


def test_other_shapes_are_refused(records):
    with pytest.raises(ValueError, match="are not"):
        records.like(records.values[:, :2], records.label)
    with pytest.raises(ValueError, match="are not"):
        records.like(records.values, records.label[:3])
    assert len(records.first(7)) == 7
    equal(records.first(None), records)


def test_the_clock_counts_work_and_not_waiting_but_does_not_wait_for_ever():
    clock = Clock(0.05, shared=float("inf"))
    time.sleep(0.1)
    assert clock.elapsed() < 0.05
    assert not clock.spent()
    assert 0 < clock.left() <= 0.05
    while not clock.spent():
        pass
    assert clock.elapsed() >= 0.05
    assert clock.left() == 0
    asleep = Clock(0.02, shared=2)
    time.sleep(0.05)
    assert asleep.spent()


def test_every_row_of_the_protocol_is_there():
    for row, peer in PEERS.items():
        if peer.augments:
            assert peer.function in BASELINES
            continue
        source = ast.parse((HERE / "adapters" / f"{peer.adapter}.py").read_text())
        names = {node.name for node in source.body if isinstance(node, ast.FunctionDef)}
        assert peer.function in names, row
        assert peer.environment in ("", *NAMES), row
        assert peer.lines >= 5, row
    assert CONTROL in PEERS


@pytest.mark.parametrize("name", NAMES)
def test_environments_are_pinned(name):
    lines = (HERE / "requirements" / f"{name}.txt").read_text().split()
    assert lines
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)


def test_an_environment_that_cannot_be_made_leaves_its_reason(tmp_path):
    why = make("sdv", tmp_path, shutil.which("false"))
    assert why.startswith("environment not made")
    peer = PEERS["SDV, PARSynthesizer"]
    lab = Lab(make_dataset(rows=20), "toy", tmp_path, tmp_path, 1.0)
    with pytest.raises(PeerError, match="environment not made"):
        lab.python(peer)
    with pytest.raises(InputError, match=r"experiments\.peers\.environments mostlyai"):
        lab.python(PEERS["mostlyai-engine, TabularARGN"])


def test_lines_are_those_that_a_user_writes(tmp_path):
    (tmp_path / "a.py").write_text(
        'import x\n\ndef fit(a, clock):\n    """Doc\n    string."""\n    # why\n    b = 1\n\n    clock.left()  # clock\n    return b\n'
    )
    assert _functions(tmp_path / "a.py") == {"fit": ["def fit(a, clock):", "b = 1", "return b"]}
    shapes, own = _functions(HERE / "shapes.py"), len(_functions(HERE / "adapters" / "sdv.py")["fit"])
    assert Peer("", "sdv").lines == own
    assert Peer("", "sdv", complete=True).lines == own + len(shapes["filled"]) + len(shapes["Complete"])


def test_validation_rows_choose_the_setting(tmp_path):
    ledger = Ledger(tmp_path / "r.jsonl")
    row = "GenTS, RCGAN"
    assert chosen(ledger, "physionet2012", row) == "defaults"
    ledger.add({"data": "physionet2012", "row": row, "stage": "trial defaults", "auprc": 0.2})
    ledger.add({"data": "physionet2012", "row": row, "stage": "trial other", "reason": "died"})
    assert chosen(ledger, "physionet2012", row) == "defaults"
    ledger.add({"data": "physionet2012", "row": row, "stage": "trial other", "auprc": 0.3})
    assert last(ledger, {"row": row, "stage": "trial other"})["auprc"] == 0.3
    assert chosen(ledger, "physionet2012", row) == "other"
    assert chosen(ledger, "challenge2019", row) == "defaults"


def test_attacks_find_a_peer_that_copies_and_none_that_does_not(real):
    trial = Trial.draw(real, "train", "train", 40, 0)
    knowledge = Knowledge.of(real, Codec.fit(real.train, real.manifest))
    copied = calibrated_membership(trial, real.train, trial.reference, knowledge)
    assert min(of["value"] for of in copied.values()) > 0.8
    fair = calibrated_membership(trial, trial.reference, trial.reference, knowledge)
    assert all(of["value"] == 0.5 for of in fair.values())


def cells():
    """Recorded cells of three seeds: guided, a peer .1 below it on every resample, one that failed, one that augments, real stays."""
    random = np.random.default_rng(0)
    patients = np.append(0, random.normal(0, 0.02, 20))  # the stays as they are, then resampled

    def judges(auprc):
        return {judge: {"auprc": auprc, "auroc": 0.7, "draws": packed(auprc + patients)} for judge in ("gru", "trees", "logistic")}

    def cell(row, seed, **more):
        return {"data": "physionet2012", "row": row, "seed": seed, "seconds": 600.0, "stage": "result", **more}

    for seed in SEEDS["physionet2012"]:
        good = 0.3 + 0.01 * seed
        yield cell(
            CONTROL, seed, tstr=judges(good), tsrtr=judges(good + 0.02), setting="other", told_apart_trees=0.7, draw_seconds_1000=4.0
        )
        yield cell(
            "GenTS, TimeVAE",
            seed,
            tstr=judges(good - 0.1),
            tsrtr=judges(good),
            setting="defaults",
            told_apart_trees=0.99,
            fit_seconds=601.0,
        )
        yield cell("SMOTE", seed, tsrtr=judges(0.28), setting="defaults")
        yield cell(REAL, seed, tstr=judges(0.33), told_apart_trees=0.5)
        yield cell("tsgm, cBetaVAE", seed, reason="no such thing")
    yield cell(CONTROL, 0, tstr=judges(0.9), setting="other") | {"seconds": 5.0}
    auc = {"value": 0.53, "low": 0.51, "high": 0.55}
    yield cell(CONTROL, 0, density=auc, **{"nearest neighbour": auc}) | {"stage": "membership"}


def test_the_table_pairs_rows_and_gives_reasons(tmp_path):
    ledger = Ledger(tmp_path / "r.jsonl")
    for cell in cells():
        ledger.add(cell)
    lines = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table(results(ledger, 600.0)["physionet2012"]).splitlines()}
    assert lines[CONTROL][1:4] == ["3", "other", "0.310"]
    assert "0.530 [0.510, 0.550]" in lines[CONTROL]
    below = lines["GenTS, TimeVAE (1, 2)"]
    assert re.fullmatch(r"0\.210 \(-0\.100 \[-0\.100, -0\.100\]\)", below[3])
    assert "601" in below
    assert "0.990 (+0.290 [+0.290, +0.290])" in below
    assert lines["tsgm, cBetaVAE (1)"][1] == "not run: no such thing"
    assert lines["SMOTE"][3] == ""
    assert lines["SMOTE"][7].startswith("0.280 (-0.050")
    assert lines[REAL][3].startswith("0.330 (+0.020")
    assert len({len(line) for line in lines.values()}) == 1
    assert figure(results(ledger, 600.0)).axes[0].get_title() == "TSTR"


def test_the_page_is_written_between_its_marks(tmp_path, monkeypatch):
    ledger, page = Ledger(tmp_path / "r.jsonl"), tmp_path / "README.md"
    for cell in cells():
        ledger.add(cell)
    page.write_text(f"before\n{BEGIN}\nthe last table\n{END}\nafter\n")
    monkeypatch.setattr("sys.argv", ["table", "--results", str(ledger.path), "--page", str(page)])
    main()
    once = page.read_text()
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "the last table" not in once
    assert "physionet2012" in once
    assert (tmp_path / "peers.png").exists()
    assert BEGIN in (HERE / "README.md").read_text()


def test_test_rows_of_the_confirmation_are_opened_by_it_first(tmp_path, monkeypatch):
    make_dataset(rows=80).save(tmp_path / "data")
    monkeypatch.setattr("experiments.peers.cells.OPENINGS", tmp_path / "openings.jsonl")
    with pytest.raises(InputError, match="confirmation opens its test rows before"):
        Lab.open(tmp_path / "data", "challenge2019", tmp_path, tmp_path, 1.0)
    Ledger(tmp_path / "openings.jsonl").add({"data": "hospital-a", "study": "confirmation"})
    lab = Lab.open(tmp_path / "data", "challenge2019", tmp_path, tmp_path, 1.0)
    assert {name: set(split.subject_id % 10) for name, split in lab.data.splits.items()} == {
        "train": {0, 1, 2},
        "validation": {3, 4},
        "test": {5, 6, 7, 8, 9},
    }
    assert len(Lab.open(tmp_path / "data", "physionet2012", tmp_path, tmp_path, 1.0).data.train) == 80


def test_a_job_that_was_asked_for_otherwise_is_not_taken(real, tmp_path, monkeypatch):
    lab, runs = Lab(real, "toy", tmp_path, tmp_path, 1.0), []

    def run(self, job, peer, seconds):
        runs.append(peer.fixed)
        shutil.copy(job / "train.npz", job / "samples.npz")
        (job / "costs.json").write_text("{}")

    monkeypatch.setattr(Lab, "_run", run)
    for fixed in ({"steps": 1}, {"steps": 1}, {"steps": 2}):
        lab.fitted(Peer("", "tardiff", fixed=fixed), "defaults", 1.0, 0)
    assert runs == [{"steps": 1}, {"steps": 2}]


def test_one_process_has_the_machine(tmp_path, monkeypatch, capsys):
    arguments = ["--data", "physionet2012=none", "--environments", "e", "--work", str(tmp_path), "--results", str(tmp_path / "r")]
    monkeypatch.setattr("sys.argv", ["run", *arguments])
    with Work(tmp_path).lock("peers"), pytest.raises(SystemExit):
        run_peers()
    assert "another process is at it" in capsys.readouterr().err


@pytest.mark.slow
def test_tardiff_and_what_augments_are_judged_from_end_to_end(tmp_path):
    data = without_descriptors(make_dataset(rows=80))
    lab = Lab(data, "toy", tmp_path, tmp_path / "none", 4.0, fits=1, resamples=5)
    tiny = Peer("", "tardiff", "unguided", fixed={"widths": (8, 8), "blocks": 1, "batch_size": 16, "steps": 20})
    found = lab.result(tiny, "defaults", 0)
    assert set(found) >= {"tstr", "tsrtr", "told_apart_trees", "told_apart_charting", "ks", "fit_seconds", "draw_seconds_1000", "memory_mb"}
    begun = time.perf_counter()
    again, _ = lab.fitted(tiny, "defaults", 4.0, 0)  # from the work folder
    assert time.perf_counter() - begun < 2
    assert np.array_equal(again.train.label, lab.labels(0))
    assert set(lab.result(PEERS["jitter"], "defaults", 0)) == {"tsrtr"}
    assert set(lab.trial(tiny, "defaults", 4.0, 0)) >= {"auprc"}
    with pytest.raises(PeerError, match="not_there"):
        lab.result(replace(tiny, function="not_there"), "defaults", 0)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["guided", "published", "policy"])
def test_each_of_tardiffs_rows_makes_labelled_stays(way, tmp_path):
    lab = Lab(without_descriptors(make_dataset(rows=80)), "toy", tmp_path, tmp_path / "none", 4.0)
    tiny = {} if way == "policy" else {"widths": (8, 8), "blocks": 1, "batch_size": 16, "steps": 20}
    samples, _ = lab.fitted(Peer("", "tardiff", way, fixed=tiny), "defaults", 4.0, 0)
    assert np.array_equal(samples.train.label, lab.labels(0))
    assert 0.1 < samples.train.mask.mean() < 0.99


def test_descriptors_go_and_nothing_else(real):
    data = make_dataset(rows=40)
    bare = without_descriptors(data)
    assert isinstance(bare, Dataset)
    assert bare.train.static.shape == (40, 0)
    assert np.array_equal(bare.train.values, data.train.values, equal_nan=True)
