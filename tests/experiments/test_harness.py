"""The harness: what a protocol may say, who sees test rows, and cells at toy size."""

import json
import multiprocessing
import os
from importlib import import_module
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import yaml

from experiments.harness import data as reading
from experiments.harness import run as running
from experiments.harness.confirm import confirmation
from experiments.harness.knock_outs import KNOCK_OUTS, without
from experiments.harness.protocol import PROTOCOL, Cell, Data, Recipe, Regime, Study, load
from experiments.harness.shared import BusyError, Work
from tardiff.augment import gate
from tardiff.base.ledger import Ledger
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.statics import StaticModel
from tardiff.errors import InputError, TardiffError
from tardiff.model.training import NoisyRows, new_networks
from tardiff.settings import TrainSettings

TOY = Path(__file__).with_name("toy_protocol.yaml")


def of_folder(toy):
    """The toy protocol, on the session's toy data."""
    protocol = load(TOY)
    data = msgspec.structs.replace(protocol.data["toy"], prepare={"folder": str(toy[0])})
    return msgspec.structs.replace(protocol, data={**protocol.data, "toy": data})


@pytest.fixture
def committed(monkeypatch):
    for module in (reading, running):
        monkeypatch.setattr(module, "committed", lambda: ("abc", []))


@pytest.fixture
def harness(toy, tmp_path, committed):
    return running.Harness(of_folder(toy), tmp_path / "work", *(tmp_path / name for name in ("results", "openings", "chosen")))


def changed(tmp_path, **changes):
    """The toy protocol with other values, by `place__in__it`."""
    content = yaml.safe_load(TOY.read_text())
    for place, value in changes.items():
        *path, last = place.split("__")
        at = content
        for key in path:
            at = at[key]
        at[last] = value
    path = tmp_path / "protocol.yaml"
    path.write_text(yaml.safe_dump(content))
    return load(path)


def test_the_protocol_is_sound_and_counted():
    protocol = load(PROTOCOL)
    cells = list(protocol.cells())
    assert len(cells) == len(set(cells))
    assert {cell.study for cell in cells} == set(protocol.studies)  # nothing stands there that is never run
    assert all(protocol.minutes(cell) > 0 for cell in cells)
    assert cells[0].study == "main"
    assert [name for name, data in protocol.data.items() if "confirmation" in data.test_for] == ["hospital-a"]
    assert protocol.data["hospital-a"].test_for == ("confirmation", "confirmation-rare", "confirmation-tuned")
    assert protocol.training("demo", 0) == import_module("tardiff.commands.demo").TRAINING


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"studies__main__data": "elsewhere"}, "study main: data 'elsewhere' is not in the protocol"),
        ({"studies__main__rows": ["none", "magic"]}, "row 'magic' is neither a row of compare nor a recipe"),
        ({"studies__main__minutes": {"none": 1}}, "how many minutes does 'tuned' take"),
        ({"data__toy__test_for": ["few"]}, "study main: may not read the test rows of toy"),
        ({"recipes__default__guidance": {"objective": "magic=1"}}, "unknown objective 'magic'"),
        ({"studies__few__screen": "main"}, "study few: has a row `chosen`; `screen` must name a study that reads validation rows"),
        ({"studies__sites__sender": "elsewhere"}, "study sites: sender 'elsewhere' is not in the protocol"),
        ({"studies__sites__rows": ["none"]}, "row 'none' is neither a row of compare nor a recipe"),
        ({"recipes__no moved rows__without": "magic"}, "recipe no moved rows: the generator has no part 'magic'"),
        ({"order": [{"study": "no", "seeds": [0]}]}, "'no' is no study"),
        ({"order": [{"study": "main", "seeds": [0], "rows": ["gan"]}]}, "main has no row 'gan'"),
        ({"studies__main__seed": 3}, "unknown field `seed`"),
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused(tmp_path, changes, message):
    with pytest.raises(TardiffError, match=message):
        changed(tmp_path, **changes)


def test_a_cell_knows_all_of_the_protocol_that_its_figures_rest_on(tmp_path):
    cell, before = Cell("main", "default", 0), load(TOY).digest(Cell("main", "default", 0))
    for change in (
        {"studies__main__judges": ["trees"]},
        {"studies__main__sizes": [50]},
        {"studies__main__tuned_first": True},
        {"data__toy__prepare__stays": 501},
        {"regimes__scarce__train": 101},
        {"generators__tiny__steps": 13},
        {"recipes__default__guidance__pilot": 33},
        {"resamples": 21},
    ):
        assert changed(tmp_path, **change).digest(cell) != before, change
    other = {
        "studies__main__asks": "In other words?",
        "recipes__cosine__guidance__pilot": 33,
        "iterations__gan": 3,
        "studies__main__minutes__old": 9,
    }
    assert changed(tmp_path, **other).digest(cell) == before


def test_cells_of_another_protocol_are_neither_kept_nor_mixed(harness, tmp_path, monkeypatch):
    monkeypatch.setattr(running.Lab, "run", lambda self, cell: {"added": {"trees": {"auprc": 0.3}}, "seconds": 1.0})
    assert harness.run([Cell("main", "none", 0)]) == []
    harness.protocol = msgspec.structs.replace(harness.protocol, resamples=21)
    with pytest.raises(InputError, match="main, none, seed 0: run under another protocol"):
        harness.open_cells()


def test_another_rule_of_labels_is_another_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "HERE", tmp_path)
    monkeypatch.setattr(reading, "prepare", lambda settings: Path(settings.out).mkdir(parents=True))
    data, folders = Data({"source": "simulate", "task": "rule.yaml"}, (), ""), set()
    for rule in ("a", "b", "a"):
        (tmp_path / "rule.yaml").write_text(rule)
        folders.add(reading.folder_of("toy", data, Work(tmp_path / "work")))
    assert len(folders) == 2


def test_cells_come_stage_by_stage_seed_by_seed_and_once():
    protocol = load(TOY)
    cells = [cell for cell in protocol.cells() if cell.study == "main"]
    assert [cell.seed for cell in cells] == [0] * 7 + [1] * 7 + [2] * 7
    again = msgspec.structs.replace(protocol, order=(*protocol.order, *protocol.order))
    assert list(again.cells()) == list(protocol.cells())


def test_minutes_count_what_cells_share_once(harness):
    cells = [Cell("main", row, 0) for row in ("none", "unguided", "default", "old")]
    assert harness.minutes(cells) == {"main": 4 + 1 + 1}  # four cells, a generator, a guide
    assert harness.minutes([*cells, Cell("few", "unguided", 0)])["few"] == 1  # the same generator


def test_a_split_by_patients_last_digit(toy):
    rule = Data({}, (), "", {"train": (0, 1, 2), "validation": (3,), "test": (4, 5)}, {"train": 20})
    found = reading.arranged(toy[1], rule)
    assert len(found.train) == 20
    for name, digits in rule.split.items():
        assert set(found.split(name).subject_id % 10) <= set(digits)
    assert found.train.subject_id.tolist() == sorted(found.train.subject_id)
    assert found.manifest.splits["train"].rows == 20


def test_rows_whose_last_value_is_below_a_limit_are_left_out(toy):
    split = toy[1].train
    last = reading.last_charted(split)
    for row, channel in ((0, 0), (5, 2)):
        charted = split.values[row, channel][split.mask[row, channel] == 1]
        assert last[row, channel] == charted[-1]
    found = reading.arranged(toy[1], Data({}, (), "", without=("hr", 90.0)))
    assert 0 < len(found.train) < len(split)
    assert not (reading.last_charted(found.train)[:, 0] < 90).any()


def test_test_rows_are_shown_to_their_studies_alone_and_openings_are_written_down(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "committed", lambda: ("abc", []))
    openings = Ledger(tmp_path / "openings.jsonl")
    protocol = load(TOY)
    assert "test" not in reading.opened(protocol, "few-screen", toy[0], openings).splits
    assert openings.cells() == []
    assert "test" in reading.opened(protocol, "main", toy[0], openings).splits
    reading.opened(protocol, "main", toy[0], openings)
    (opening,) = openings.cells()
    assert (opening["data"], opening["study"], opening["commit"]) == ("toy", "main", "abc")
    assert opening["rows"] == len(toy[1].split("test"))
    other = Dataset(toy[1].manifest, {name: split.take(slice(-1)) for name, split in toy[1].splits.items()})
    other.save(tmp_path / "other")
    with pytest.raises(InputError, match="does not hold the rows that were opened on"):  # or figures of two data sets would be mixed
        reading.opened(protocol, "main", tmp_path / "other", openings)
    stolen = {**protocol.studies, "main": msgspec.structs.replace(protocol.studies["main"], data="kept")}
    thief = Thief(protocol.data, stolen)
    with pytest.raises(InputError, match="may not read the test rows of kept, which are for confirmation"):
        reading.opened(thief, "main", toy[0], openings)


class Thief:
    """A protocol that was not checked when it was made."""

    def __init__(self, data, studies):
        self.data, self.studies = data, studies


def test_what_opens_test_rows_must_be_committed(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "committed", lambda: ("abc", ["tardiff/settings.py"]))
    openings = Ledger(tmp_path / "openings.jsonl")
    with pytest.raises(InputError, match=r"tardiff/settings\.py is not committed"):
        reading.opened(load(TOY), "main", toy[0], openings)
    openings.add({"data": "toy", "study": "main", "commit": "abc", "content": toy[1].completed().manifest.content_hash})
    with pytest.raises(InputError, match="is not committed"):  # an opening that is known does not cover what was changed since
        reading.opened(load(TOY), "main", toy[0], openings)


def test_budgets(toy):
    data = toy[1]
    scarce = Regime(train=40, validation=20)
    found = reading.budget(data, scarce, "scarce", "test", 0)
    assert (len(found.labelled.train), len(found.labelled.split("validation"))) == (40, 20)
    assert found.judged is data.split("test")
    assert found.source is found.labelled
    again, other = (reading.budget(data, scarce, "scarce", "test", seed).labelled.train.stay_id for seed in (0, 1))
    np.testing.assert_array_equal(found.labelled.train.stay_id, again)
    assert not np.array_equal(again, other)
    rare = reading.budget(data, Regime(train=50, validation=50, share=0.04), "rare", "test", 0)
    assert [int(split.label.sum()) for split in rare.labelled.splits.values()] == [2, 2]
    with pytest.raises(InputError, match="the regime asks for 200 rows of class 1"):
        reading.budget(data, Regime(train=200, share=1.0), "odd", "test", 0)


def test_screening_judges_rows_outside_the_budget_and_never_test_rows(toy):
    data = Dataset(toy[1].manifest, {name: split for name, split in toy[1].splits.items() if name != "test"})
    for regime in (Regime(), Regime(train=40, validation=20)):
        found = reading.budget(data, regime, "r", "validation", 0)
        read = np.concatenate([split.stay_id for split in found.labelled.splits.values()])
        assert not np.isin(found.judged.stay_id, read).any()
        assert len(found.judged) > 0


def test_without_labels_the_generator_reads_all_rows_and_no_label(toy):
    found = reading.budget(toy[1], Regime(train=40, validation=20, unlabelled=True), "free", "test", 0)
    assert len(found.source.train) == len(toy[1].train)
    assert not found.source.train.label.any()
    assert "test" not in found.source.splits


def test_one_process_makes_a_piece_and_another_one_finds_it(tmp_path):
    work, made, same = Work(tmp_path), [], Work(Path(os.path.relpath(tmp_path)))  # the other process names the folder otherwise

    def make(path):
        with pytest.raises(BusyError):
            same.once("a b", identity, lambda path: pytest.fail("made twice"))
        made.append(path)
        path.write_text("done")

    for identity in ([1], [2], [1]):
        work.once("a b", identity, make)
    assert len(set(made)) == len(made) == 2


def test_a_killed_process_lets_go_of_its_cell(tmp_path):
    held, go = multiprocessing.Event(), multiprocessing.Event()
    process = multiprocessing.Process(target=_hold, args=(tmp_path, held, go))
    process.start()
    assert held.wait(20)
    with pytest.raises(BusyError), Work(tmp_path).lock("cell"):
        pass
    process.kill()
    process.join()
    with Work(tmp_path).lock("cell"):
        pass


def _hold(folder, held, go):
    with Work(folder).lock("cell"):
        held.set()
        go.wait(20)


def test_cells_at_toy_size(harness, capsys):
    """A rival, synthetic rows with a look at their records, and samples that somebody else makes; what stands is not run again."""
    wanted = [cell for cell in harness.open_cells(["main"], [0]) if cell.row in ("none", "smote", "unguided", "old")]
    left = harness.run(wanted, pause=0.1)
    assert [line.split(": ")[0] for line in left] == ["main, old, seed 0"]
    assert "waits for" in left[0]
    cells = {cell["row"]: cell for cell in harness.ledger.cells()}
    assert set(cells) == {"none", "smote", "unguided"}
    assert cells["smote"]["added"].keys() == {"trees", "logistic"}
    assert cells["none"]["costs"].keys() >= {"trts", "near_copies", "correlation", "descriptor_slopes"}
    assert cells["unguided"]["alone"].keys() == {"0"}
    assert cells["unguided"]["added"]["trees"]["chosen"].keys() == {"ratio", "both"}
    assert cells["unguided"]["records"]["told_apart"].keys() >= {"told_apart_trees", "told_apart_charting"}
    assert max(len(json.dumps(cell)) for cell in cells.values()) < 3000
    assert len(harness.openings.cells()) == 1
    harness.run(wanted, pause=0.1)
    assert len(harness.ledger.cells()) == 3
    assert harness.run(harness.open_cells(["main"]), minutes=0)[0].endswith("not started")
    assert "main, unguided, seed 0: trees" in capsys.readouterr().out


def test_rows_are_added_to_a_tuned_model_where_the_study_says_so(harness):
    studies = harness.protocol.studies
    main = msgspec.structs.replace(studies["main"], tuned_first=True, records={})
    harness.protocol = msgspec.structs.replace(harness.protocol, studies={**studies, "main": main})
    wanted = [cell for cell in harness.open_cells(["main"], [0]) if cell.row in ("tuned", "unguided")]
    assert harness.run(wanted, pause=0.1) == []
    cells = {cell["row"]: cell["added"] for cell in harness.ledger.cells()}
    for judge, figures in cells["unguided"].items():
        assert figures["chosen"].keys() == {"ratio", "both", "settings"}
        assert figures["chosen"]["settings"] == cells["tuned"][judge]["chosen"]["settings"]


@pytest.mark.parametrize("commits", [False, True])
def test_the_gate_decides_what_is_added(harness, monkeypatch, commits):
    """Without a committed gate the figures are those of the rows as they were, else of real rows and samples."""
    ends = iter([0.1] * 6 + ([0.2, 0.21] if commits else [0.0, 0.01]) * 3)
    monkeypatch.setattr(gate, "utility", lambda *arguments: next(ends))
    assert harness.run([Cell("main", "gated", 0), Cell("main", "none", 0)], pause=0.1) == []
    gated, none = harness.ledger.cells()
    assert (gated["gate"]["value"] > 0) is commits
    assert (gated["added"] == none["added"]) is not commits


def test_a_cell_that_fails_stops_no_other(harness, monkeypatch, capsys):
    def fail(self, cell):
        if cell.row == "none":
            raise ValueError("no luck")
        return {"added": {"trees": {"auprc": 0.3}}, "seconds": 1.0}

    monkeypatch.setattr(running.Lab, "run", fail)
    left = harness.run([Cell("main", "none", 0), Cell("main", "smote", 0)])
    assert left == ["main, none, seed 0: FAILED (ValueError: no luck)"]
    assert (running.status(left), running.status(["main, none, seed 1: not started"])) == (1, 0)
    assert "no luck" in capsys.readouterr().err
    assert [cell["row"] for cell in harness.ledger.cells()] == ["smote"]


def test_another_site_sends_a_generator(harness, toy, tmp_path):
    """What it sends is trained once, on its own rows alone; local rows are those that `tardiff compare --from` would take."""
    toys = {name: msgspec.structs.replace(data, prepare={"folder": str(toy[0])}) for name, data in harness.protocol.data.items()}
    harness.protocol = msgspec.structs.replace(harness.protocol, data=toys)
    rows = ("local", "as-is", "unguided-alone")
    assert harness.run([Cell("sites", row, 0) for row in rows], pause=0.1) == []
    cells = {cell["row"]: cell["added"]["logistic"] for cell in harness.ledger.cells()}
    assert cells["local"]["rows"] == 60
    assert cells["as-is"]["rows"] == 0
    assert cells["unguided-alone"]["chosen"]["rows"] == cells["unguided-alone"]["rows"] in (25, 50, 100)
    lab = harness.lab(Cell("sites", "local", 0))
    assert len(lab.comparison.real) == len(lab.budget.sent.train) == 100
    served = [sum(lab.guide(Recipe(aim=whose), lab.generators.base).card.guidance_counts) for whose in ("sender", "local")]
    assert served == [100, 60]
    assert len(list((harness.work.folder / "made").glob("generator-all-tiny-0-*"))) == 1
    screen = harness.lab(Cell("sites-screen", "unguided", 0))
    read = lab.comparison.data.train.stay_id[lab.comparison.local("local", 0)]
    np.testing.assert_array_equal(np.sort(read), np.sort(screen.budget.labelled.train.stay_id))  # the same rows; all others judge
    assert not np.isin(screen.budget.judged.stay_id, read).any()


@pytest.mark.parametrize("part", KNOCK_OUTS)
def test_a_part_that_is_left_out_is_missed_and_comes_back(toy, part):
    train = Split(**toy[1].train.arrays() | {"values": toy[1].train.values.round()})  # on grids

    def loss():
        settings = TrainSettings(steps=1, widths=(TrainSettings().widths[0],), blocks=1)
        codec, statics = Codec.fit(train, toy[1].manifest), StaticModel.fit(train, toy[1].manifest)
        networks, rows = new_networks(codec, statics, settings), NoisyRows(train, codec, statics, settings)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in networks.parameters():
                parameter += 0.05 * torch.randn_like(parameter)  # layers that begin with zeros would hide what is before them
        return rows.loss(networks, torch.arange(32), 0).sum().item()

    whole = loss()
    with without(part):
        assert loss() != whole
    assert loss() == whole


def test_confirmation_on_any_folder(toy, harness, tmp_path):
    protocol = confirmation(toy[0], 1, 100, load(TOY))
    there = running.Harness(protocol, tmp_path / "w", *(tmp_path / name for name in ("r", "o", "c")))
    assert there.run([Cell("confirmation", "none", 0)]) == []
    (cell,) = there.ledger.cells()
    assert cell["added"]["logistic"]["rows"] == 100
    assert there.openings.cells()[0]["study"] == "confirmation"
    assert isinstance(load().studies["confirmation"], Study)


def test_rows_alone_are_a_fair_part_of_a_pool_from_the_first_row_on(harness):
    lab = harness.lab(Cell("main", "unguided", 0))
    label = np.repeat([0, 1], [300, 100])
    rows = lab._alone_rows(label, 60, Recipe())
    assert len(set(rows)) == 60
    np.testing.assert_array_equal(label[rows], lab._alone_labels(60))
    assert 0 < label[rows[:30]].sum() < label[rows].sum()
    with pytest.raises(TardiffError, match="rows of the classes were made"):
        lab._alone_rows(label[:300], 60, Recipe())
    assert len(lab._alone_rows(label[:300], 60, Recipe(samples="old"))) == 300


@pytest.mark.slow
def test_records_looked_at_closely_have_all_that_realism_asks(harness):
    study = msgspec.structs.replace(harness.protocol.studies["main"], records={"unguided": "full", "default": "full"})
    harness.protocol = msgspec.structs.replace(harness.protocol, studies={**harness.protocol.studies, "main": study})
    assert harness.run([Cell("main", "unguided", 0), Cell("main", "default", 0)]) == []
    by_itself, guided = (harness.ledger.find(row=row)["records"] for row in ("unguided", "default"))
    assert {"told_apart_trees", "told_apart_gru", "told_apart_charting", "told_apart_descriptors"} <= by_itself["told_apart"].keys()
    assert by_itself["told_apart"].keys() == by_itself["floor_told_apart"].keys()
    assert by_itself["distances"].keys() == by_itself["floor_distances"].keys()
    assert "calibrated distance" in guided["attacks"]  # by a reference model, whatever made the samples
    assert by_itself["attacks"].keys() - guided["attacks"].keys() == {"calibrated denoising", "calibrated charting"}  # its weights, too
    assert by_itself["found_at_1_percent"].keys() == by_itself["attacks"].keys()


@pytest.mark.slow
def test_every_kind_of_row_end_to_end(tmp_path, committed):
    """Every study of the toy protocol on simulated patients: guides, refinements, policy, GAN, no labels, one step, a choice in between."""
    harness = running.Harness(load(TOY), tmp_path / "work", *(tmp_path / name for name in ("results", "openings", "chosen")))
    first = [cell for cell in harness.open_cells(seeds=[0]) if cell.row not in ("old", "chosen", "random")]
    assert harness.run(first, pause=0.1) == []
    again = running.Harness(load(TOY), harness.work.folder, *(tmp_path / name for name in ("results", "openings", "chosen")))
    later = [cell for cell in again.open_cells(["few", "sites"], [0]) if cell.row in ("chosen", "random")]
    assert again.run(later, pause=0.1) == []
    assert json.loads((tmp_path / "chosen").read_text())["few"]["row"] == "cosine"
    rows = {(cell["study"], cell["row"]): cell for cell in again.ledger.cells()}
    assert rows["few", "random"]["moved"] == pytest.approx(rows["few", "chosen"]["moved"], rel=0.1)
    assert rows["few", "selection"]["alone"].keys() == {"20", "60"}
    assert rows["refine", "ppo"]["records"]["attacks"].keys() == {"nearest neighbour"}
    folder = next((again.work.folder / "made").glob("data-toy-*"))
    samples = again.work.folder / "old" / "toy-0.parquet"
    samples.parent.mkdir()
    Dataset.load(folder).export(samples)
    assert again.run([Cell("main", "old", 0)], pause=0.1) == []
    assert again.ledger.find(study="main", row="old")["alone"]["0"]["trees"]["auprc"] > 0
