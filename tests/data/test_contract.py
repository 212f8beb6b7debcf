"""Models and data meet by meaning: another order is put in order, everything else is one line."""

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardiff.data.contract import Form, arranged
from tardiff.data.dataset import UNLABELLED, Channel, Dataset, Manifest, Split, Static, Task
from tardiff.data.units import ALIASES, same_unit
from tardiff.errors import TardiffError

CHANNELS = tuple(Channel(n, u, (0.0, 300.0), "mean", 80.0) for n, u in (("hr", "bpm"), ("sbp", "mmHg"), ("temp", "°C"), ("spo2", "%")))
STATICS = (Static("age", "years"), Static("sex", kind="categorical", categories=("female", "male", "other")), Static("height", "cm"))
TASK = Task("death", "dies", ("survived", "died", "unknown"))


def made(rows=12, seed=0):
    """Rows whose every number tells channel, descriptor and class."""
    random = np.random.default_rng(seed)
    values = (random.random((rows, 4, 5)) + np.arange(1, 5)[:, None] * 10).astype(np.float32)
    mask = (random.random((rows, 4, 5)) < 0.7).astype(np.uint8)
    values[mask == 0] = np.nan
    static = np.stack([random.integers(20, 90, rows), random.integers(0, 3, rows), random.integers(150, 200, rows)], axis=1).astype(
        np.float32
    )
    static[random.random(static.shape) < 0.2] = np.nan
    number = np.arange(rows, dtype=np.int64)
    label = np.arange(rows, dtype=np.int64) % 3
    split = Split(values, mask, static, label, number, number, np.full(rows, 5, np.int32), np.full(rows, 300))
    return Dataset(Manifest("x", "1", CHANNELS, STATICS, 1.0, 5, TASK), {"train": split}).completed()


def shuffled(data, channels, statics, categories, classes):
    """The same rows in another order of everything, by hand."""
    manifest, split = data.manifest, data.train
    static = split.static[:, statics].copy()
    sexes = tuple(manifest.statics[1].categories[c] for c in categories)
    place = statics.index(1)
    known = np.isfinite(static[:, place])
    static[known, place] = [categories.index(int(code)) for code in static[known, place]]
    label = np.array([classes.index(code) for code in split.label])
    new = msgspec.structs.replace(
        manifest,
        channels=tuple(manifest.channels[c] for c in channels),
        statics=tuple(msgspec.structs.replace(manifest.statics[s], categories=sexes if s == 1 else ()) for s in statics),
        task=msgspec.structs.replace(manifest.task, classes=tuple(manifest.task.classes[c] for c in classes)),
    )
    rows = dataclasses.replace(split, values=split.values[:, channels], mask=split.mask[:, channels], static=static, label=label)
    return Dataset(new, {"train": rows}).completed()


FORM = Form.of_manifest(made().manifest)


@settings(max_examples=60)
@given(
    channels=st.permutations(range(4)),
    statics=st.permutations(range(3)),
    categories=st.permutations(range(3)),
    classes=st.permutations(range(3)),
    seed=st.integers(0, 99),
)
def test_any_order_is_put_in_order(channels, statics, categories, classes, seed):
    data = made(seed=seed)
    back = arranged(shuffled(data, channels, statics, categories, classes), FORM, "DATA")
    assert back.manifest == data.manifest
    for name, array in data.train.arrays().items():
        np.testing.assert_array_equal(getattr(back.train, name), array)


def test_what_is_in_order_is_itself():
    data = made()
    assert arranged(data, FORM, "DATA") is data


def renamed(**changes):
    data = made()
    return Dataset(msgspec.structs.replace(data.manifest, **changes), data.splits)


def other(at, channel):
    return tuple(channel if place == at else c for place, c in enumerate(CHANNELS))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (renamed(channels=other(0, Channel("pulse", "bpm", (0.0, 300.0), "mean", 80.0))), "DATA: channel 'hr' is missing"),
        (
            renamed(channels=other(1, Channel("sbp", "kPa", (0.0, 300.0), "mean", 80.0))),
            "sbp is in 'kPa', the model has it in 'mmHg'",
        ),
        (renamed(step_hours=0.5), "a step is 0.5 h, for the model it is 1 h"),
        (renamed(task=Task("sepsis", "", TASK.classes)), "has the task 'sepsis', the model has 'death'"),
        (renamed(task=Task("death", "", ("survived", "died", "lost"))), "class 'unknown' is missing"),
        (renamed(statics=(STATICS[0], STATICS[1], Static("weight", "kg"))), "descriptor 'height' is missing"),
        (renamed(statics=(STATICS[0], STATICS[1], Static("height", "in"))), "descriptor height is numeric in in"),
        (
            renamed(statics=(STATICS[0], msgspec.structs.replace(STATICS[1], categories=("female", "male", "x")), STATICS[2])),
            "descriptor sex: category 'other' is missing",
        ),
    ],
)
def test_everything_else_is_one_line_that_names_it(data, says):
    with pytest.raises(TardiffError) as error:
        arranged(data, FORM, "DATA")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_too_much_is_refused_and_so_is_another_length():
    small = Form(FORM.channels[:3], 5, 1.0, STATICS, TASK.classes, "death")
    with pytest.raises(TardiffError, match="channel 'spo2' is unknown to RUN"):
        arranged(made(), small, "DATA", "RUN")
    with pytest.raises(TardiffError, match="has 5 steps, the model has 6"):
        arranged(made(), dataclasses.replace(FORM, steps=6), "DATA")


def test_what_is_not_known_is_not_compared():
    open_form = Form(tuple((name, None) for name, _ in reversed(FORM.channels)), 5, None, None, None, None)
    back = arranged(made(), open_form, "DATA")
    assert back.manifest.channel_names == ("spo2", "temp", "sbp", "hr")
    assert back.manifest.statics == STATICS
    assert Form.of(CHANNELS, 5, 1.0, (), UNLABELLED).classes is None


SPELLINGS = [(unit, spelling) for unit, spellings in ALIASES.items() for spelling in (unit, *spellings)]


@given(pair=st.sampled_from(SPELLINGS), upper=st.lists(st.booleans(), min_size=20, max_size=20), gaps=st.sets(st.integers(0, 20)))
def test_a_unit_in_any_spelling_is_itself_and_no_other(pair, upper, gaps):
    """Case and blanks say nothing; micro has two signs."""
    unit, spelling = pair
    written = "".join(
        (" " if place in gaps else "") + (letter.upper() if big else letter)
        for place, (letter, big) in enumerate(zip(spelling, upper, strict=False))
    )
    assert same_unit(written, unit)
    assert [other for other in ALIASES if same_unit(written, other)] == [unit]
    channels = (msgspec.structs.replace(CHANNELS[0], unit=written), *CHANNELS[1:])
    form = dataclasses.replace(FORM, channels=((FORM.channels[0][0], unit), *FORM.channels[1:]))
    assert arranged(renamed(channels=channels), form, "DATA").manifest.channels == channels


def test_units_by_meaning():
    for unit, spellings in ALIASES.items():
        assert all(same_unit(unit, spelling) for spelling in spellings)
    assert same_unit("Beats / min", "bpm")
    assert same_unit("mm Hg", "mmHg")
    assert same_unit("µg/L", "ng/mL")
    assert same_unit("mcg/L", "μg/l")
    for one, another in (("mmHg", "kPa"), ("°C", "°F"), ("mg/dL", "mmol/L"), ("mEq/L", "mmol/L"), ("", "bpm"), ("k/ul", "m/ul")):
        assert not same_unit(one, another)
    every = [spelling for unit, spellings in ALIASES.items() for spelling in (unit, *spellings)]
    assert len(every) == len(set(every))
