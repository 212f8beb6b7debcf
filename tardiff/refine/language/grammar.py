"""What tokens may follow in a row's text: nothing else is ever written, so every text is a row.

    death died, age 63, hr mean 84, sex female,

The label begins; the fields follow in any order. Each label and each field is a tree of tokens: a name, whose tokens have no
alternative, then the values that may be, then a comma. A row is a walk through these trees. At a node with several children the
language model's probabilities are restricted to them; their product is the probability of the row,

    log p(row | label, order) = sum over nodes of log softmax(logits restricted to the children)[child].

It adds up to 1 over all rows, and training, sampling and PPO read the same one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.errors import TardiffError
from tardiff.refine.language.fields import Field

END = ","
Spell = Callable[[list[str]], list[list[int]]]
"""Texts to token ids, of each alone."""
Tree = dict[int, "Tree | int"]
"""Children by token; a number is a leaf: the index of a field's text."""


@dataclass(frozen=True)
class Path:
    """The tokens of one text of a field, and the nodes at which each is chosen."""

    tokens: tuple[int, ...]
    nodes: tuple[int, ...]


class Grammar:
    """The trees of a data set's rows in one tokenizer's tokens.

    Args:
        task: name of the label.
        classes: its values.
        fields: of a row.
        spell: the tokenizer.
        pad: a token that may stand after a row's end.

    Raises:
        TardiffError: the tokenizer cannot spell a text, or tell two of a field apart.
    """

    DONE = 0

    def __init__(self, task: str, classes: Sequence[str], fields: Sequence[Field], spell: Spell, pad: int) -> None:
        self.fields, self.pad = tuple(fields), pad
        self._edges: list[list[tuple[int, int]]] = [[(pad, self.DONE)]]
        heads = spell([f"{task} {name}{END}".replace("_", " ") for name in classes])
        self.heads = [self._laid(f"class {name}", [head], [name])[0] for name, head in zip(classes, heads, strict=True)]
        self.paths = [self._field(field, spell) for field in fields]
        self.roots = torch.tensor([paths[0].nodes[0] for paths in self.paths])
        count = [len(edges) for edges in self._edges]
        flat = [edge for edges in self._edges for edge in edges]
        self.count, self.start = torch.tensor(count), torch.tensor([0, *np.cumsum(count[:-1]).tolist()])
        self.token, self.next = (torch.tensor(part) for part in zip(*flat, strict=True))
        self.widest = max(count)

    def to(self, device: torch.device) -> "Grammar":
        """The same grammar, whose tables are on a device."""
        for name in ("roots", "count", "start", "token", "next"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def length(self, fields: int) -> int:
        """Most tokens of a row of its first so many fields."""
        return max(len(head.tokens) for head in self.heads) + sum(max(len(p.tokens) for p in paths) for paths in self.paths[:fields])

    def written(self, label: NDArray[np.int64], order: NDArray[np.int64], choice: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Rows as tokens and the nodes at which each is chosen, both int64 [N, L], padded.

        Args:
            label: [N].
            order: fields in the order in which they are written, [N, F].
            choice: index of each field's text, [N, F].
        """
        length = self.length(order.shape[1])
        tokens, nodes = np.full((len(label), length), self.pad), np.full((len(label), length), self.DONE)
        for row, (of, fields) in enumerate(zip(label.tolist(), order.tolist(), strict=True)):
            paths = [self.heads[of], *(self.paths[field][choice[row, field]] for field in fields)]
            written = [token for path in paths for token in path.tokens]
            tokens[row, : len(written)] = written
            nodes[row, : len(written)] = [node for path in paths for node in path.nodes]
        return torch.from_numpy(tokens), torch.from_numpy(nodes)

    def log_prob(self, logits: Tensor, node: Tensor) -> Tensor:
        """Log-probability of each child, [..., widest], -inf beyond the last one.

        Args:
            logits: of all tokens, [..., V].
            node: [...].
        """
        token, allowed = self._children(node)
        return logits.gather(-1, token).float().masked_fill(~allowed, -torch.inf).log_softmax(-1)

    def child_of(self, node: Tensor, token: Tensor) -> Tensor:
        """Which child of each node a token is, [...]."""
        children, allowed = self._children(node)
        return ((children == token[..., None]) & allowed).int().argmax(-1)

    def _children(self, node: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of each node's children, and which of them there are, both [..., widest]."""
        place = torch.arange(self.widest, device=node.device)
        edge = (self.start[node][..., None] + place).clamp(max=len(self.token) - 1)
        return self.token[edge], place < self.count[node][..., None]

    def _field(self, field: Field, spell: Spell) -> list[Path]:
        """The paths of a field's texts."""
        name, end, *values = spell([f" {field.name}", END, *(f" {text}" for text in field.texts)])
        return self._laid(f"field {field.name!r}", [[*name, *value, *end] for value in values], field.texts)

    def _laid(self, what: str, sequences: Sequence[Sequence[int]], texts: Sequence[str]) -> list[Path]:
        """Add a tree of token sequences to the tables; leaf k ends sequence k."""
        tree: Tree = {}
        for leaf, sequence in enumerate(sequences):
            here = tree
            for token in sequence[:-1]:
                below = here.setdefault(token, {})
                if isinstance(below, int):
                    raise _alike(what, texts[below], texts[leaf])
                here = below
            if sequence[-1] in here:
                raise _alike(what, texts[leaf], next((texts[k] for k in range(leaf) if sequences[k] == sequence), "another"))
            here[sequence[-1]] = leaf
        paths: dict[int, Path] = {}
        self._number(tree, (), (), paths)
        return [paths[leaf] for leaf in range(len(sequences))]

    def _number(self, tree: Tree, tokens: tuple[int, ...], nodes: tuple[int, ...], paths: dict[int, Path]) -> int:
        """Give a tree's nodes their numbers; a leaf's is below 0."""
        node = len(self._edges)
        self._edges.append([])
        for token, below in tree.items():
            path = Path((*tokens, token), (*nodes, node))
            if isinstance(below, int):
                paths[below] = path
                self._edges[node].append((token, -1 - below))
            else:
                self._edges[node].append((token, self._number(below, path.tokens, path.nodes, paths)))
        return node


def _alike(what: str, one: str, other: str) -> TardiffError:
    return TardiffError(f"{what}: the tokenizer cannot tell {one!r} from {other!r}; rename one, or choose another --language-model")
