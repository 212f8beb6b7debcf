"""A two-layer language model of rows, from training to samples, refinement and descriptors."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tardiff.audit.run import fitted_on_train
from tardiff.base.noise import row_seeds
from tardiff.cli import main
from tardiff.data.dataset import Dataset
from tardiff.data.rows import as_rows
from tardiff.errors import TardiffError
from tardiff.refine import rewards
from tardiff.refine.language.folder import LanguagePipeline
from tardiff.refine.language.model import least_bytes, new_model, new_tokenizer
from tardiff.refine.language.training import Tuning, train_language
from tardiff.refine.load import described, load_generator
from tardiff.refine.run import refine
from tardiff.refine.settings import DiscriminatorSettings, LanguageSettings, PPOSettings, RefineSettings
from tests.conftest import make_dataset
from tests.refine.conftest import KilledError, logged

LABEL = np.arange(70) % 2
SEEDS = row_seeds(0, range(70))
SETTINGS = LanguageSettings(epochs=3, width=32, learning_rate=5e-3)
TUNED = LanguageSettings(epochs=1, rank=2)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    path = tmp_path_factory.mktemp("language") / "rows"
    return path, train_language(base[2], path, SETTINGS, progress=False)


@pytest.fixture(scope="module")
def pretrained(base, trained, tmp_path_factory):
    """A folder of transformers with a causal model that knows the words of the data."""
    path = tmp_path_factory.mktemp("pretrained") / "model"
    grammar = trained[1].writer.grammar
    tokenizer = new_tokenizer("death", ("survived", "died"), grammar.fields)
    new_model(len(tokenizer), 512, LanguageSettings(width=32), 1).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in ("values", "static"))


def test_training_brings_the_loss_of_validation_rows_down(trained):
    history = trained[1].card.history
    assert [entry["step"] for entry in history] == [8, 16, 24]
    assert history[-1]["validation_loss"] < history[0]["validation_loss"] - 0.1


def test_first_ratio_is_exactly_1_and_rows_do_not_depend_on_their_batch(trained):
    generator = trained[1].generator(kl=True)
    many, few = generator.sample(LABEL, SEEDS), generator.sample(LABEL[:5], SEEDS[:5])
    assert torch.equal(many.x0[:5], few.x0)
    assert np.array_equal(many.static[:5], few.static, equal_nan=True)
    rows = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scored = generator.score(many, rows, torch.zeros(70, dtype=torch.int64))
    assert torch.equal(scored.log_prob, many.log_prob[rows, 0])
    assert float(scored.kl.abs().max()) == 0  # it is its own base
    assert abs(float(scored.entropy.mean() + scored.log_prob.mean())) < 0.3


def test_folder_gives_the_model_back_and_a_damaged_one_is_refused(trained, tmp_path):
    path, pipeline = trained
    again = load_generator(path)
    assert isinstance(again, LanguagePipeline)
    assert same(again(LABEL, SEEDS), pipeline(LABEL, SEEDS))
    shutil.copytree(path, tmp_path / "rows")
    (tmp_path / "rows" / "language.safetensors").unlink()
    with pytest.raises(TardiffError, match=r"language\.safetensors: missing or damaged"):
        load_generator(tmp_path / "rows")


def test_an_audit_finds_that_it_was_fitted_on_training_rows(base, trained):
    assert fitted_on_train(base[2], trained[0]).status == "pass"
    with pytest.raises(TardiffError, match="was made from another data set"):
        fitted_on_train(make_dataset(200), trained[0])


def test_sizes_that_no_weights_back_are_refused_before_they_fill_the_memory(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "rows")
    index = tmp_path / "rows" / "language.json"
    assert least_bytes(SETTINGS) < (tmp_path / "rows" / "language.safetensors").stat().st_size
    index.write_text(json.dumps(json.loads(index.read_text()) | {"settings": asdict(LanguageSettings(layers=256, width=4096))}))
    with pytest.raises(TardiffError, match=r"language\.safetensors: too small for the sizes in language\.json"):
        load_generator(tmp_path / "rows")


def test_resumed_training_ends_in_the_same_weights(base, trained, tmp_path, monkeypatch):
    step = Tuning._step

    def stop(self):
        if self.done == 11:
            self._save()
            raise KilledError
        step(self)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Tuning, "_step", stop)
        train_language(base[2], tmp_path / "rows", SETTINGS, progress=False)
    resumed = train_language(base[2], tmp_path / "rows", SETTINGS, progress=False)
    assert resumed.card == trained[1].card
    assert (tmp_path / "rows" / "language.safetensors").read_bytes() == (trained[0] / "language.safetensors").read_bytes()
    assert not (tmp_path / "rows.partial").exists()


def test_rows_on_their_own(base, trained, tmp_path, capsys):
    main(["sample", str(trained[0]), "--guidance", "none", "--n", "50", "--out", str(tmp_path / "out")])
    data = Dataset.load(tmp_path / "out")
    assert data.manifest.channels == as_rows(base[2]).manifest.channels
    assert len(data.train) == 50
    with pytest.raises(SystemExit):
        main(["sample", str(trained[0]), "--n", "50", "--out", str(tmp_path / "guided")])
    assert "RUN has no reverse steps to guide; use --guidance none" in capsys.readouterr().err


def test_descriptors_of_a_diffusion_model(base, trained):
    pipeline = described(base[0], trained[1])
    drawn = pipeline(LABEL[:6], SEEDS[:6])
    assert np.array_equal(drawn.static, trained[1].descriptors(LABEL[:6], SEEDS[:6]), equal_nan=True)
    assert not torch.equal(drawn.x0, base[0](LABEL[:6], SEEDS[:6]).x0)
    with pytest.raises(TardiffError, match="draws its own descriptors"):
        described(trained[1], trained[1])


@pytest.fixture
def older(monkeypatch):
    """A reward of your own: age, in decades."""
    monkeypatch.setitem(rewards.FACTORIES, "older", lambda context: lambda samples: np.nan_to_num(samples.static[:, 0], nan=60) / 10)


def refined(base, trained, out, iterations=4):
    settings = RefineSettings(rewards="older=1", iterations=iterations, rows=96, check_every=4, check_rows=64, allow_worse=True, kl=0.01)
    ppo = PPOSettings(learning_rate=2e-3, clip_coef=0.02, update_epochs=2, minibatch_size=32)
    quick = DiscriminatorSettings(width=8, updates=1, warm_up=1)
    return refine(trained[1], base[2], out, settings, ppo, quick, progress=False)


def test_ppo_raises_a_reward_and_leaves_the_base_as_it_is(base, trained, tmp_path, older):
    before = trained[1](LABEL, SEEDS)
    result = refined(base, trained, tmp_path / "refined")
    lines = logged(tmp_path / "refined")
    assert lines[-1]["reward/older"] > lines[0]["reward/older"] + 0.2
    assert lines[0]["ratio"] == pytest.approx(1, abs=0.1)
    assert lines[-1]["kl"] > 0
    assert same(trained[1](LABEL, SEEDS), before)
    assert same(load_generator(tmp_path / "refined")(LABEL, SEEDS), result.pipeline(LABEL, SEEDS))


@pytest.mark.slow
def test_resumed_refinement_ends_in_the_same_weights(base, trained, tmp_path, older, killed_before):
    refined(base, trained, tmp_path / "straight", 3)
    with killed_before(2):
        refined(base, trained, tmp_path / "killed", 3)
    refined(base, trained, tmp_path / "killed", 3)
    assert logged(tmp_path / "killed") == logged(tmp_path / "straight")
    weights = [(tmp_path / name / "language.safetensors").read_bytes() for name in ("killed", "straight")]
    assert weights[0] == weights[1]


def test_a_pretrained_model_keeps_its_weights_and_the_folder_holds_adapters_alone(base, pretrained, tmp_path):
    pipeline = train_language(base[2], tmp_path / "rows", TUNED, str(pretrained), progress=False)
    with safe_open(tmp_path / "rows" / "language.safetensors", "pt") as file:
        names = list(file.keys())
    assert names
    assert all("lora" in name for name in names)
    index = json.loads((tmp_path / "rows" / "language.json").read_text())
    assert index["base"]["name"] == str(pretrained)
    again = load_generator(tmp_path / "rows")
    assert same(again(LABEL, SEEDS), pipeline(LABEL, SEEDS))
    copied = again.copied()
    with torch.no_grad():
        for parameter in copied.writer.model.parameters():
            parameter.add_(1)
    assert same(again(LABEL, SEEDS), pipeline(LABEL, SEEDS))  # adapters are apart
    frozen = [{id(p) for p in of.writer.model.network.parameters() if not p.requires_grad} for of in (again, copied)]
    assert frozen[0] == frozen[1]  # and nothing else is


def test_another_base_than_the_one_trained_on_is_refused(base, pretrained, tmp_path):
    shutil.copytree(pretrained, tmp_path / "model")
    train_language(base[2], tmp_path / "rows", TUNED, str(tmp_path / "model"), progress=False)
    new_model(json.loads((pretrained / "config.json").read_text())["vocab_size"], 512, LanguageSettings(width=32), 2).save_pretrained(
        tmp_path / "model"
    )
    with pytest.raises(TardiffError, match="is not the model that was trained on; its weights have changed since"):
        load_generator(tmp_path / "rows")


def test_opening_a_folder_never_asks_the_network(base, pretrained, tmp_path, monkeypatch):
    asked = []

    def refuse(host, *_, **__):
        asked.append(host)
        raise OSError("no network here")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    pipeline = train_language(base[2], tmp_path / "rows", TUNED, str(pretrained), progress=False)
    assert same(load_generator(tmp_path / "rows")(LABEL, SEEDS), pipeline(LABEL, SEEDS))

    index = json.loads((tmp_path / "rows" / "language.json").read_text())
    index["base"]["name"] = "some/model"
    (tmp_path / "rows" / "language.json").write_text(json.dumps(index))
    with pytest.raises(TardiffError, match=r"some/model: is not on this machine.*fetch it with `hf download some/model`"):
        load_generator(tmp_path / "rows")

    fetched = tmp_path / "cache" / "models--some--model"
    shutil.copytree(pretrained, fetched / "snapshots" / "abc")
    (fetched / "refs").mkdir()
    (fetched / "refs" / "main").write_text("abc")
    assert same(load_generator(tmp_path / "rows")(LABEL, SEEDS), pipeline(LABEL, SEEDS))
    assert not asked


def adapters_of_another(folder):
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "nobody/nothing"}))


def pickled(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def reads_ahead(folder):
    from transformers import BertConfig, BertForMaskedLM

    shutil.rmtree(folder / "model.safetensors", ignore_errors=True)
    config = BertConfig(vocab_size=100, hidden_size=32, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32)
    BertForMaskedLM(config).save_pretrained(folder)


def encoder_and_decoder(folder):
    from transformers import T5Config, T5ForConditionalGeneration

    T5ForConditionalGeneration(T5Config(vocab_size=100, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).save_pretrained(folder)


def another_vocabulary(folder):
    words = ("survived", "died")
    new_tokenizer("death", words, ()).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pickled, r"its weights are pickled \(pytorch_model\.bin\), and nothing is unpickled"),
        (reads_ahead, "it is no causal model|weights are missing"),
        (encoder_and_decoder, "a causal model of transformers cannot be read"),
        (another_vocabulary, "its tokenizer cannot spell"),
        (adapters_of_another, "holds adapters of another model"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"none"), "a causal model of transformers cannot be read"),
    ],
)
def test_a_model_that_is_none_is_refused_in_one_line(base, pretrained, tmp_path, spoil, said):
    shutil.copytree(pretrained, tmp_path / "model")
    spoil(tmp_path / "model")
    with pytest.raises(TardiffError, match=said) as error:
        train_language(base[2], tmp_path / "rows", TUNED, str(tmp_path / "model"), progress=False)
    assert "--language-model" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_rows_without_labels_are_refused(base, tmp_path):
    with pytest.raises(TardiffError, match="--no-labels"):
        train_language(base[2].unlabelled(), tmp_path / "rows", SETTINGS, progress=False)


def test_validation_rows_that_cannot_be_written_are_refused(base, tmp_path):
    rows = as_rows(base[2])
    held = rows.split("validation")
    empty = replace(held, values=np.full_like(held.values, np.nan), mask=np.zeros_like(held.mask), static=np.full_like(held.static, np.nan))
    data = Dataset(rows.manifest, {**rows.splits, "validation": empty}).completed()
    with pytest.raises(TardiffError, match="every validation row lacks something that no training row lacks"):
        train_language(data, tmp_path / "rows", SETTINGS, progress=False)


def test_the_command_says_what_it_costs(base, tmp_path, capsys):
    data = tmp_path / "data"
    base[2].save(data)
    main(["train", str(data), "--model", "language", "--language.epochs", "1", "--language.width", "32", "--out", str(tmp_path / "rows")])
    said = capsys.readouterr().out
    assert "8 steps of 32 rows take about" in said
    assert "rows a minute are sampled" in said
    assert "a language model of rows, best after step 8" in said
