# %% [markdown]
# # Influence guidance in 150 lines
#
# A diffusion model learns two half-moons of points; a classifier learns to tell them apart. Then guides steer the samples, and we
# look at what each of them does. This page imports nothing of tardiff: it shows the method with as little code as possible. It
# needs `torch`, `scikit-learn` and `matplotlib`, and runs for about a minute.
# %%
import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import make_moons
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
torch.set_num_threads(1)
points, classes = make_moons(1200, noise=0.12, random_state=0)
points = torch.tensor((points - points.mean(0)) / points.std(0), dtype=torch.float32)
classes = torch.tensor(classes)
x, y, x_test, y_test = points[:400], classes[:400], points[400:], classes[400:]
# %% [markdown]
# ## A diffusion model
#
# $x_t = \alpha_t x_0 + \sigma_t \varepsilon$, with $\alpha_t = \cos(\pi t / 2)$ and $\sigma_t = \sin(\pi t / 2)$. The network
# predicts $v = \alpha_t \varepsilon - \sigma_t x_0$ from $x_t$, $t$ and the label. In a tenth of the rows it sees the label "none"
# (2).
# %%
WAVES = 2.0 ** torch.arange(6)


def mlp(inputs, width, outputs):
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(2 + 2 * len(WAVES) + 3, 128, 2)

    def forward(self, x_t, t, label):
        angles = t[:, None] * WAVES
        return self.net(torch.cat([x_t, angles.sin(), angles.cos(), F.one_hot(label, 3)], 1))


def level(t):
    return math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)


denoiser = Denoiser()
optimizer = torch.optim.AdamW(denoiser.parameters(), 2e-3)
for step in range(STEPS := 4000):
    optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / STEPS)
    rows = torch.randint(len(x), (256,))
    t, eps = torch.rand(256), torch.randn(256, 2)
    label = torch.where(torch.rand(256) < 0.1, 2, y[rows])
    alpha, sigma = (t * math.pi / 2).cos()[:, None], (t * math.pi / 2).sin()[:, None]
    loss = F.mse_loss(denoiser(alpha * x[rows] + sigma * eps, t, label), alpha * eps - sigma * x[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %% [markdown]
# ## A classifier, and the direction in which its guidance rows pull
#
# It is kept at three moments of its training. With the residual $r = p - e_y$ of the logits and the embedding $h$, the gradient of
# a row's loss over the last layer is $r h^\top$, in closed form. The guidance rows are the training rows here.
# %%
def fit(x, y, seed=0, keep=()):
    torch.manual_seed(seed)
    net, kept = mlp(2, 32, 2), []
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    for step in range(300):
        if step in keep:
            kept.append(mlp(2, 32, 2))
            kept[-1].load_state_dict(net.state_dict())
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net, [*kept, net]


def row_gradient(net, x, y):
    h = net[:-1](x)
    return (net[-1](h).softmax(1) - F.one_hot(y, 2))[:, :, None] * F.pad(h, (0, 1), value=1.0)[:, None, :]


classifier, checkpoints = fit(x, y, keep=(10, 60))
with torch.no_grad():
    directions = [row_gradient(net, x, y).mean(0).flatten() for net in checkpoints]
    own = [torch.stack([row_gradient(net, x[y == c], y[y == c]).mean(0).flatten() for c in (0, 1)]) for net in checkpoints]


# %% [markdown]
# ## The objectives
#
# Each gives a number for each sample. A guide moves the clean estimate $\hat x_0$ along its gradient.
# %%
def influence(form, target):
    def objective(x0, label):
        return sum(form(row_gradient(net, x0, label).flatten(1), target(k, label)) for k, net in enumerate(checkpoints))

    return objective


OBJECTIVES = {
    "label": lambda x0, label: -F.cross_entropy(classifier(x0), label, reduction="none"),
    "raw influence": influence(lambda g, v: (g * v).sum(1), lambda k, label: directions[k].expand(len(label), -1)),
    "cosine influence": influence(lambda g, v: F.cosine_similarity(g, v), lambda k, label: directions[k].expand(len(label), -1)),
    "contrastive": influence(lambda g, v: F.cosine_similarity(g, v), lambda k, label: own[k][label] - own[k][1 - label]),
    "entropy": lambda x0, label: torch.distributions.Categorical(logits=classifier(x0)).entropy(),
}


# %% [markdown]
# ## The sampler
#
# Each step asks for $\hat x_0$, lets the guide change it, and moves to the next noise level with fresh noise. The change has the
# size `strength` times $\sigma_t$ for every sample, whatever the gradient's own size. All calls start from the same noise and
# return the samples and the way to them.
# %%
def sample(label, objective=None, strength=0.3, window=0.4, cfg_scale=1.0, steps=20, seed=0):
    noise = torch.Generator().manual_seed(seed)
    x_t = torch.randn(len(label), 2, generator=noise)
    path = [x_t]
    for k in range(steps):
        (alpha, sigma), (alpha_next, sigma_next) = level(1 - k / steps), level(1 - (k + 1) / steps)
        with torch.no_grad():
            t, none = torch.full((len(label),), 1 - k / steps), torch.full_like(label, 2)
            v = denoiser(x_t, t, label)
            if cfg_scale != 1 and k < window * steps:
                v = denoiser(x_t, t, none) + cfg_scale * (v - denoiser(x_t, t, none))
            x0_hat = alpha * x_t - sigma * v
        if objective and k < window * steps:
            x0_hat.requires_grad_(True)
            gradient = torch.autograd.grad(objective(x0_hat, label).sum(), x0_hat)[0]
            x0_hat = x0_hat.detach() + strength * sigma * gradient / gradient.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)
        eps = (x_t - alpha * x0_hat) / sigma
        fresh = min(1.0, sigma_next / sigma * math.sqrt(max(0.0, 1 - (alpha / max(alpha_next, 1e-6)) ** 2)))  # DDIM, eta = 1
        x_t = alpha_next * x0_hat + math.sqrt(max(0.0, sigma_next**2 - fresh**2)) * eps
        x_t = x_t + fresh * torch.randn(x_t.shape, generator=noise)
        path.append(x_t)
    return x_t, path


# %% [markdown]
# ## What each guide does
#
# Above: the first 40 % of the steps are guided. Below: all steps. Grey points are real. Below each picture: how far a sample lies
# from the nearest real point of its class, how sure the classifier is of its label, and the accuracy on real test points of
# classifiers trained on samples alone.
# %%
guides = {"none": {}, "classifier-free": {"cfg_scale": 2.0}, **{name: {"objective": objective} for name, objective in OBJECTIVES.items()}}
label = torch.arange(400) % 2
figure, axes = plt.subplots(2, len(guides), figsize=(2.3 * len(guides), 5.4), sharex=True, sharey=True, layout="constrained")
for axes_of, window in zip(axes, (0.4, 1.0), strict=True):
    for place, (name, options) in zip(axes_of, guides.items(), strict=True):
        drawn, _ = sample(label, window=window, **options)
        far = torch.stack([torch.cdist(drawn[i : i + 1], x[y == label[i]]).min() for i in range(400)]).mean()
        sure = F.cross_entropy(classifier(drawn), label).neg().exp()
        right = [(fit(drawn, label, seed)[0](x_test).argmax(1) == y_test).float().mean() for seed in range(3)]
        place.scatter(*x.T, s=2, color="#bbbbbb")
        place.scatter(*drawn.T, s=4, c=[("#0072B2", "#D55E00")[c] for c in label])
        place.set(title=f"{name}\n{'all' if window == 1 else 'early'} steps", xticks=[], yticks=[], xlim=(-3, 3), ylim=(-3, 3))
        place.set_xlabel(f"distance {far:.2f}\nsure {sure:.2f}, accuracy {sum(right) / 3:.3f}")
plt.show()

# %% [markdown]
# ## What to see
#
# * In early steps every guide leaves the samples on the moons: the model turns the change into something plausible.
# * Over all steps each guide shows its hand. The label's probability and classifier-free guidance draw the classes apart; the
#   second empties the ends where the moons meet, and what is trained on its samples is worse there. Cosine influence pulls samples
#   onto the middle of their moon. Contrast and entropy seek the border.
# * A classifier that is sure of the samples is no sign that they teach well: compare `sure` with `accuracy`.
