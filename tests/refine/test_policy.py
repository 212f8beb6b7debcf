import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal

from tardiff.base.noise import row_seeds
from tardiff.cli import main
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.refine.load import described, load_generator
from tardiff.refine.policy import Actions, PolicyGenerator, new_policy
from tardiff.refine.policy_folder import PolicyPipeline
from tardiff.refine.policy_training import train_policy
from tardiff.refine.settings import DiscriminatorSettings, PolicySettings, PPOSettings
from tardiff.settings import GuidanceSettings
from tardiff.synthesis.run import synthesise
from tests.conftest import make_dataset
from tests.refine.conftest import logged

LABEL = np.arange(70) % 2
SEEDS = row_seeds(0, range(70))
SETTINGS = PolicySettings(
    iterations=20,
    rows=128,
    hidden=32,
    latent=4,
    check_every=20,
    check_rows=128,
    ppo=PPOSettings(learning_rate=3e-3, clip_coef=0.1, update_epochs=3, share=1.0),
    discriminator=DiscriminatorSettings(width=16, ratio=0.5, updates=4, warm_up=20, batch_size=64),
)


@pytest.fixture(scope="module")
def generator():
    data = make_dataset().completed()
    codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
    return PolicyGenerator(new_policy(codec, statics, 2, latent=4, hidden=16, seed=0), codec, statics)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy"
    return path, train_policy(base[2], path, SETTINGS, progress=False)


def test_first_ratio_is_exactly_1_and_rows_do_not_depend_on_their_batch(generator):
    many, few = generator.sample(LABEL, SEEDS), generator.sample(LABEL[:5], SEEDS[:5])
    assert torch.equal(many.x0[:5], few.x0)
    rows = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    scored = generator.score(many, rows, torch.zeros(70, dtype=torch.int64))
    assert torch.equal(scored.log_prob, many.log_prob[rows, 0])


def test_log_probability_is_that_of_the_distributions_it_names(generator):
    policy, rollout = generator.policy, generator.sample(LABEL, SEEDS)
    s = rollout.state
    h = policy.body(torch.cat([s["latent"], torch.nn.functional.one_hot(rollout.label, 2).float()], dim=1))
    grid = (4, 10)
    u = Normal(policy.values(h).unflatten(1, grid), policy.log_std.exp())
    jacobian = (1 - s["u"].tanh() ** 2).log()
    expected = (u.log_prob(s["u"]) - jacobian).flatten(1).sum(1)
    logits = policy.chart(h).unflatten(1, (4, policy.symbols, 10)).transpose(2, 3).masked_fill(~policy.possible[:, None], -torch.inf)
    expected += Categorical(logits=logits).log_prob(s["chart"]).flatten(1).sum(1)
    expected += Normal(policy.numbers(h), policy.number_log_std.exp()).log_prob(s["number"]).sum(1)
    expected += Bernoulli(logits=policy.known(h)).log_prob(s["known"]).sum(1)
    expected += Categorical(logits=policy.category(h)).log_prob(s["category"][:, 0])
    assert torch.allclose(
        policy.score(s["latent"], rollout.label, Actions(**{k: s[k] for k in s if k != "latent"}))[0], expected, atol=1e-2
    )


def test_actions_are_drawn_from_those_distributions(generator):
    policy = generator.policy
    latent, label = torch.zeros(4000, 4), torch.zeros(4000, dtype=torch.int64)
    noise = torch.randn(4000, sum(policy.noise_sizes), generator=torch.Generator().manual_seed(0))
    actions = policy.draw(latent, label, noise)
    h = policy.body(torch.cat([latent[:1], torch.tensor([[1.0, 0.0]])], dim=1))
    for symbol in range(policy.symbols):
        drawn = (actions.chart == symbol).float().mean(0)
        assert torch.allclose(drawn, policy._symbols(h)[0, :, symbol].exp(), atol=0.04)
    shares = torch.bincount(actions.category[:, 0], minlength=3) / 4000
    assert torch.allclose(shares, policy.category(h).softmax(1)[0], atol=0.04)
    assert torch.allclose(actions.u.std(0), policy.log_std.exp(), rtol=0.1)


def test_policy_learns_from_the_discriminator_alone(trained):
    lines = logged(trained[0])
    assert lines[-1]["check"]["distance"]["high"] < 0  # nearer to validation rows than the untrained policy, beyond chance
    assert {"explained_variance", "entropy", "approx_kl", "clip_fraction"} <= lines[0].keys()


def test_resumed_policy_ends_in_the_same_weights(base, trained, tmp_path, killed_before):
    with killed_before(11):
        train_policy(base[2], tmp_path / "policy", SETTINGS, progress=False)
    resumed = train_policy(base[2], tmp_path / "policy", SETTINGS, progress=False)
    assert logged(tmp_path / "policy") == logged(trained[0])
    assert torch.equal(resumed(LABEL, SEEDS).x0, trained[1](LABEL, SEEDS).x0)


def test_folder_gives_the_policy_back(trained):
    path, policy = trained
    again = load_generator(path)
    assert isinstance(again, PolicyPipeline)
    assert torch.equal(again(LABEL, SEEDS).x0, policy(LABEL, SEEDS).x0)
    (path / "policy.safetensors").rename(path / "gone")
    with pytest.raises(TardiffError, match=r"policy\.safetensors: missing or damaged"):
        load_generator(path)
    (path / "gone").rename(path / "policy.safetensors")


def test_policy_is_sampled_like_any_generator(trained, tmp_path, capsys):
    path = trained[0]
    assert main(["sample", str(path), "--guidance", "none", "--n", "50", "--out", str(tmp_path / "out")]) is None
    split = Dataset.load(tmp_path / "out").train
    assert len(split) == 50
    assert np.isfinite(split.static[:, 0]).any()
    with pytest.raises(SystemExit):
        main(["sample", str(path), "--n", "50", "--out", str(tmp_path / "guided")])
    assert "has no reverse steps to guide; use --guidance none" in capsys.readouterr().err


def test_policy_draws_the_descriptors_of_a_diffusion_model(trained, base):
    pipeline = described(base[0], trained[1])
    drawn = pipeline(LABEL[:6], SEEDS[:6])
    assert np.array_equal(drawn.static, trained[1](LABEL[:6], SEEDS[:6]).static, equal_nan=True)
    assert not torch.equal(drawn.x0, base[0](LABEL[:6], SEEDS[:6]).x0)
    with pytest.raises(TardiffError, match="neither a language model nor a record policy"):
        described(base[0], base[0])
    with pytest.raises(TardiffError, match="draws its own descriptors"):
        described(trained[1], trained[1])
    other = train_free_policy()
    with pytest.raises(TardiffError, match="trained on other data"):
        described(base[0], other)


def train_free_policy():
    """An untrained policy of other rows."""
    data = make_dataset(100).completed()
    codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
    return PolicyPipeline(new_policy(codec, statics, 2, 4, 16, 0), codec, statics, None)


def test_guidance_is_refused(trained, clf):
    with pytest.raises(TardiffError, match="no reverse steps to guide"):
        synthesise(trained[1], 10, classifier=clf[1], guidance=GuidanceSettings(), progress=False)


def test_descriptors_are_known_19_times_in_20_at_the_start(generator):
    drawn = generator.sample(np.arange(4000) % 2, row_seeds(0, range(4000))).static
    assert np.allclose(np.isfinite(drawn).mean(axis=0), 0.95, atol=0.03)
