"""What may be written, and how probable it is, against enumeration."""

from itertools import product

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tardiff.base.noise import row_seeds
from tardiff.data.codec import Codec
from tardiff.data.resolution import Grid
from tardiff.data.rows import as_rows
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.refine.generator import decoded
from tardiff.refine.language.fields import Field, _number, row_fields
from tardiff.refine.language.generator import LanguageGenerator, Writer
from tardiff.refine.language.grammar import Grammar
from tardiff.refine.language.model import LanguageModel, new_model, new_tokenizer, speller
from tardiff.refine.settings import LanguageSettings
from tests.conftest import make_dataset

FIELDS = (
    Field("age", ("1", "10", "12", "missing"), np.array([1, 10, 12, np.nan])),
    Field("sex", ("male", "female"), np.array([0.0, 1.0])),
)
CLASSES = ("no", "yes")


def writer_of(fields, seed=0):
    tokenizer = new_tokenizer("death", CLASSES, fields)
    grammar = Grammar("death", CLASSES, fields, speller(tokenizer), 0)
    network = new_model(len(tokenizer), grammar.length(len(fields)), LanguageSettings(width=32), seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(8)  # far from uniform
    return Writer(LanguageModel(network), grammar), tokenizer


@pytest.fixture(scope="module")
def writer():
    return writer_of(FIELDS)[0]


def enumerated(writer, label, order):
    """Probability of every row, token by token: softmax over the whole vocabulary, restricted to what some row goes on with."""
    rows = list(product(*(range(len(field.texts)) for field in writer.grammar.fields)))
    tokens, _ = writer.grammar.written(np.full(len(rows), label), np.tile(order, (len(rows), 1)), np.array(rows))
    sequences = [tuple(row.tolist()) for row in tokens]
    result = {}
    for row, sequence in zip(rows, sequences, strict=True):
        probability = 1.0
        for t in range(1, len(sequence)):
            allowed = sorted({other[t] for other in sequences if other[:t] == sequence[:t]})
            if len(allowed) > 1:
                with torch.no_grad():
                    share = writer.model(torch.tensor([sequence[:t]])).logits[0, -1].double().softmax(0)
                probability *= float(share[sequence[t]] / share[allowed].sum())
        result[row] = probability
    return result


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_log_probability_is_that_of_enumeration_and_adds_up_to_1(writer, label, order):
    expected = enumerated(writer, label, order)
    rows = np.array(list(expected))
    tokens, nodes = writer.grammar.written(np.full(len(rows), label), np.tile(order, (len(rows), 1)), rows)
    with torch.no_grad():
        log_prob = writer.chosen(writer.log_prob(tokens, nodes), tokens, nodes).sum(1)
    assert np.allclose(log_prob.exp(), list(expected.values()), rtol=1e-4)
    assert abs(float(log_prob.exp().sum()) - 1) < 1e-5
    assert max(expected.values()) > 3 * min(expected.values())  # there is something to tell apart


def test_rows_are_drawn_as_often_as_they_are_probable(writer):
    drawn = writer.draw(np.zeros(1536, np.int64), row_seeds(0, range(1536)))
    orders = writer.orders(row_seeds(0, range(1536)), 2)
    for order in ((0, 1), (1, 0)):
        mine = drawn.choice[torch.from_numpy((orders == order).all(axis=1))]
        for row, probability in enumerated(writer, 0, order).items():
            share = float((mine == torch.tensor(row)).all(1).float().mean())
            assert abs(share - probability) < 4.5 * (probability * (1 - probability) / len(mine)) ** 0.5 + 1e-4


def test_what_was_drawn_is_what_would_be_written(writer):
    label, seeds = np.arange(96) % 2, row_seeds(3, range(96))
    drawn = writer.draw(label, seeds)
    tokens, nodes = writer.grammar.written(label, writer.orders(seeds, 2), drawn.choice.numpy())
    assert torch.equal(tokens, drawn.tokens)
    assert torch.equal(nodes, drawn.nodes)
    few = writer.draw(label[:7], seeds[:7])
    assert torch.equal(few.tokens, drawn.tokens[:7])


def test_every_text_of_an_untrained_model_is_a_row_within_limits():
    rows = as_rows(make_dataset())
    codec, statics = Codec.fit(rows.train, rows.manifest), StaticModel.fit(rows.train, rows.manifest)
    fields = row_fields(codec, statics)
    writer, tokenizer = writer_of(fields)
    drawn = writer.draw(np.arange(64) % 2, row_seeds(0, range(64)))
    names = {field.name: f for f, field in enumerate(fields)}
    limits = {channel.name.replace("_", " "): channel.limits for channel in codec.channels} | {"age": (0, 120)}
    for tokens, choice in zip(drawn.tokens, drawn.choice, strict=True):
        head, *parts, rest = tokenizer.decode(tokens, skip_special_tokens=True).split(",")
        assert head in ("death no", "death yes")
        assert rest == ""
        assert len(parts) == len(fields)
        for part in parts:
            name, text = part.strip().rsplit(" ", 1)
            assert fields[names[name]].texts[choice[names[name]]] == text
            if name in limits and text != "missing":
                assert limits[name][0] <= float(text) <= limits[name][1]


def test_decoding_gives_back_what_was_written():
    rows = as_rows(make_dataset())
    rows.train.values[:] = np.round(rows.train.values)
    codec, statics = Codec.fit(rows.train, rows.manifest), StaticModel.fit(rows.train, rows.manifest)
    fields = row_fields(codec, statics)
    for field, column in zip(fields[2:], rows.train.values[:, :, 0].T, strict=True):
        known = np.isfinite(column)
        assert field.unlike(column, field.choices(column))[known].mean() < 0.2  # all but the extremes that few have
    writer, _ = writer_of(fields)
    samples = decoded(codec, LanguageGenerator(writer, codec, statics).drawn(np.arange(96) % 2, row_seeds(0, range(96))))
    choice = writer.draw(np.arange(96) % 2, row_seeds(0, range(96))).choice
    written = writer.values(choice, slice(2, None))
    chain = [2, 4]  # mean pressures, which decoding puts in order
    written[:, chain] = np.where(np.isfinite(written[:, chain]).all(axis=1, keepdims=True), np.sort(written[:, chain]), written[:, chain])
    assert np.array_equal(samples.values[:, :, 0], written, equal_nan=True)
    assert np.array_equal(samples.static, writer.values(choice, slice(2)), equal_nan=True)


@settings(max_examples=15)
@given(
    low=st.floats(-50, 50),
    width=st.floats(0.5, 400),
    steps=st.lists(st.sampled_from([5.0, 1.0, 0.5, 1 / 3, 0.1, 1 / 18]), min_size=0, max_size=3, unique=True),
)
def test_numbers_stand_on_their_grids_within_their_range_and_their_texts_say_them(low, width, steps):
    grids = [*(Grid(step) for step in sorted(steps, reverse=True)), Grid(0.0)]
    field = _number("x", grids, low, low + width, missing=False)
    assert len(set(field.texts)) == len(field.texts) == len(field.values)
    assert (np.diff(field.values) > 0).all()
    assert ((field.values >= low - 1e-5) & (field.values <= low + width + 1e-5)).all() or len(field.values) == 1
    finest = min(steps, default=1.0)
    assert np.abs([float(text) for text in field.texts] - field.values).max() < finest / 3
    if len(field.values) > 1 and steps:
        assert np.any([grid.holds(field.values) for grid in grids[:-1]], axis=0).all()
    assert field.choices(field.values).tolist() == list(range(len(field.values)))


def test_what_cannot_be_spelt_or_told_apart_is_refused():
    words = {"death no,": [1], "death yes,": [2], " age": [3], ",": [4], " 1": [5], " 10": [6], " 12": [6], " missing": [7]}

    def spell(texts):
        return [words[text] for text in texts]

    with pytest.raises(TardiffError, match="field 'age': the tokenizer cannot tell '12' from '10'"):
        Grammar("death", CLASSES, FIELDS[:1], spell, 0)
    tokenizer = new_tokenizer("death", CLASSES, FIELDS)
    strange = Field("unit", ("ward \u2603",), np.array([0.0]))
    with pytest.raises(TardiffError, match="its tokenizer cannot spell 'unit'"):
        Grammar("death", CLASSES, (strange,), speller(tokenizer), 0)


def test_a_category_that_is_called_missing_is_refused():
    rows = as_rows(make_dataset(60))
    sex = msgspec.structs.replace(rows.manifest.statics[1], categories=("missing", "male"))
    manifest = msgspec.structs.replace(rows.manifest, statics=(rows.manifest.statics[0], sex))
    with pytest.raises(TardiffError, match="descriptor sex: category 'missing' is how a missing value is written"):
        row_fields(Codec.fit(rows.train, manifest), StaticModel.fit(rows.train, manifest))
