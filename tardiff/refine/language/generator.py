"""Rows drawn token by token within the grammar, and their probability as PPO asks for it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tardiff.base.device import chunk_rows, device_of
from tardiff.base.noise import uniform
from tardiff.base.progress import bar
from tardiff.data.codec import Codec
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.sampling import in_chunks
from tardiff.refine.generator import Rollout, Scored
from tardiff.refine.language.grammar import Grammar
from tardiff.refine.language.model import LanguageModel

FEW = 8
"""Rows that a large model reads at once for their probability, whose gradient takes memory."""
MORE = 32
"""Rows that it writes at once."""


@dataclass(frozen=True)
class Written:
    """Rows as text.

    Attributes:
        tokens: int64 [N, L], padded.
        nodes: of the grammar, at which each token was chosen, [N, L].
        choice: index of each field's text, [N, fields]; -1 of a field that is not written.
    """

    tokens: Tensor
    nodes: Tensor
    choice: Tensor


class Writer:
    """A language model within a grammar.

    Args:
        model: the language model.
        grammar: of the rows, in its tokenizer's tokens.
    """

    def __init__(self, model: LanguageModel, grammar: Grammar) -> None:
        self.model, self.grammar = model, grammar

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.model)

    @property
    def chunk(self) -> int:
        """Rows read at once, always so many: a row's bits never depend on what else is asked for."""
        return FEW if self.model.large else chunk_rows(self.device)

    @property
    def written_at_once(self) -> int:
        """Rows written at once, likewise."""
        return MORE if self.model.large else chunk_rows(self.device)

    def orders(self, seeds: Sequence[int], fields: int) -> NDArray[np.int64]:
        """The first so many fields of each row in an order of its own, [N, fields]."""
        return uniform("field order", seeds, 0, (fields,)).argsort(dim=1).numpy()

    def draw(self, label: NDArray[np.int64], seeds: Sequence[int], fields: int | None = None, progress: str | None = None) -> Written:
        """Write one row a seed; row i depends on label[i] and seeds[i] alone.

        Args:
            label: [N].
            seeds: N integers.
            fields: how many fields a row has, from the first one on; None is all.
            progress: title of a progress bar; None shows none.
        """
        order = self.orders(seeds, len(self.grammar.fields) if fields is None else fields)
        parts, chunk = [], self.written_at_once
        with bar(range(0, len(label), chunk), shown=progress is not None, desc=progress, unit=f"{chunk} rows") as moved:
            for first in moved:
                rows = np.arange(first, first + chunk).clip(max=len(label) - 1)  # padded by the last row
                parts.append(self._draw(label[rows], order[rows], [seeds[row] for row in rows]))
        tokens, nodes, choice = (torch.cat(part)[: len(label)] for part in zip(*parts, strict=True))
        return Written(tokens, nodes, choice)

    @torch.no_grad()
    def _draw(self, label: NDArray[np.int64], order: NDArray[np.int64], seeds: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        grammar, device = self.grammar, self.device
        rows, fields = order.shape
        length = grammar.length(fields)
        heads = [grammar.heads[of] for of in label.tolist()]
        tokens, nodes = torch.full((rows, length), grammar.pad, device=device), torch.zeros(rows, length, dtype=torch.int64, device=device)
        tokens[:, 0] = torch.tensor([head.tokens[0] for head in heads])
        nodes[:, 0] = torch.tensor([head.nodes[0] for head in heads])
        choice = torch.full((rows, len(grammar.fields)), -1, device=device)
        fields_of = torch.from_numpy(order).to(device)
        chance = uniform("token", seeds, 0, (length,), device)
        field = torch.full((rows,), -1, device=device)  # which one is written, as a place in `order`; the head at first
        here, memory = self._after(grammar.next[grammar.start[nodes[:, 0]]], field, fields_of, choice), None
        for t in range(1, length):
            out = self.model(tokens[:, t - 1 : t], memory, remember=True)
            memory, logits = out.cache, out.logits[:, -1]
            if not torch.isfinite(logits).all():
                raise TardiffError("the language model gives numbers that are not finite; train it again with a smaller learning rate")
            share = grammar.log_prob(logits, here).double().exp().cumsum(1)
            pick = (share < chance[:, t : t + 1] * share[:, -1:]).sum(1).minimum(grammar.count[here] - 1)
            edge = grammar.start[here] + pick
            tokens[:, t], nodes[:, t] = grammar.token[edge], here
            here = self._after(grammar.next[edge], field, fields_of, choice)
            if bool((here == grammar.DONE).all()):
                break
        return tokens, nodes, choice

    def _after(self, following: Tensor, field: Tensor, fields_of: Tensor, choice: Tensor) -> Tensor:
        """The node to go on from, [b]; where a tree has ended (below 0), its text is kept and the next one begins."""
        ended = following < 0
        rows = torch.nonzero(ended & (field >= 0))[:, 0]
        choice[rows, fields_of[rows, field[rows]]] = -1 - following[rows]
        field += ended
        begins = ended & (field < fields_of.shape[1])
        root = self.grammar.roots[fields_of.gather(1, field.clamp(0, fields_of.shape[1] - 1)[:, None])[:, 0]]
        return torch.where(begins, root, torch.where(ended, self.grammar.DONE, following))

    def log_prob(self, tokens: Tensor, nodes: Tensor) -> Tensor:
        """Log-probability of each child at each token but the first, [b, L - 1, widest], of one chunk."""
        return self.grammar.log_prob(self.model(tokens[:, :-1]).logits, nodes[:, 1:])

    def chosen(self, log_prob: Tensor, tokens: Tensor, nodes: Tensor) -> Tensor:
        """Log-probability of the tokens that were chosen, [b, L - 1], from that of each child."""
        return log_prob.gather(2, self.grammar.child_of(nodes[:, 1:], tokens[:, 1:])[..., None])[..., 0]

    def values(self, choice: Tensor, fields: slice) -> NDArray[np.float32]:
        """What some fields' texts stand for, [N, fields]."""
        chosen = choice.cpu().numpy()
        places = range(len(self.grammar.fields))[fields]
        columns = [self.grammar.fields[f].values[chosen[:, f]] for f in places]
        return np.array(columns, np.float32).reshape(len(places), len(chosen)).T


@dataclass(frozen=True)
class Values:
    """Values [N, C, 1] and mask, as the codec reads them."""

    values: NDArray[np.float32]
    mask: NDArray[np.uint8]


class LanguageGenerator:
    """A language model as PPO sees it: a row is one decision, whose log-probability is the mean over its fields.

    Args:
        writer: whose model is trained in place.
        codec: of the rows.
        statics: of their descriptors.
        kl: whether to score the divergence from the model as it is now, which is kept.
    """

    def __init__(self, writer: Writer, codec: Codec, statics: StaticModel, kl: bool = True) -> None:
        self.writer, self.codec, self.statics = writer, codec, statics
        self.base = copy.deepcopy(writer.model).requires_grad_(False) if kl else None

    @property
    def module(self) -> nn.Module:
        """What is trained of the language model."""
        return self.writer.model

    def sample(self, label: NDArray[np.int64], seeds: Sequence[int], progress: str | None = None) -> Rollout:
        """Draw one row a seed."""
        rollout = self.drawn(label, seeds, progress)
        with torch.no_grad():
            scored = self.score(rollout, torch.arange(len(label), device=rollout.x0.device), torch.empty(0))
        return Rollout(rollout.x0, rollout.chart, rollout.static, rollout.label, scored.log_prob[:, None], rollout.state)

    def drawn(self, label: NDArray[np.int64], seeds: Sequence[int], progress: str | None = None) -> Rollout:
        """Draw one row a seed, whose probability is not asked for (NaN)."""
        written = self.writer.draw(label, seeds, None, progress)
        count, device = len(self.statics.statics), self.writer.device
        static = self.writer.values(written.choice, slice(count))
        values = self.writer.values(written.choice, slice(count, None))[:, :, None]
        entries = self.codec.entries(Values(values, np.isfinite(values).astype(np.uint8)))
        x0, nothing = self.codec.scores(entries).to(device), torch.full((len(label), 1), torch.nan, device=device)
        state = {"tokens": written.tokens, "nodes": written.nodes}
        return Rollout(x0, entries.chart.to(device), static, torch.from_numpy(label).to(device), nothing, state)

    def score(self, rollout: Rollout, rows: Tensor, steps: Tensor) -> Scored:
        """Score some rows again."""
        arguments = rollout.state["tokens"][rows], rollout.state["nodes"][rows]
        log_prob, entropy, kl = in_chunks(self._checkpointed, *arguments, chunk=self.writer.chunk)
        return Scored(log_prob, kl if self.base is not None else None, entropy)

    def _checkpointed(self, tokens: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`_score`; of a large model what lies between is computed again for the gradient."""
        if self.writer.model.large and torch.is_grad_enabled():
            again: tuple[Tensor, Tensor, Tensor] = checkpoint(self._score, tokens, nodes, use_reentrant=False)
            return again
        return self._score(tokens, nodes)

    def _score(self, tokens: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability, entropy and divergence from the base of each row, the mean over its fields; [b] each."""
        children, fields = self.writer.log_prob(tokens, nodes), len(self.writer.grammar.fields)
        share, finite = children.exp(), children.clamp(min=-100)
        log_prob, entropy = self.writer.chosen(children, tokens, nodes).sum(1), -(share * finite).sum((1, 2))
        if self.base is None:
            return log_prob / fields, entropy / fields, torch.zeros_like(log_prob)
        with torch.no_grad():
            base = Writer(self.base, self.writer.grammar).log_prob(tokens, nodes).clamp(min=-100)
        return log_prob / fields, entropy / fields, (share * (finite - base)).sum((1, 2)) / fields
