"""The language model behind the rows: a small one from scratch, or any causal model of transformers with adapters (LoRA)."""

import copy
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tardiff.base.checkpoint import weights_hash
from tardiff.base.extras import needs
from tardiff.errors import TardiffError
from tardiff.refine.language.fields import Field
from tardiff.refine.language.grammar import END, Spell
from tardiff.refine.settings import LanguageSettings

HEAD = 32
"""Width of an attention head of a model from scratch."""
LARGE = 20_000_000
"""Parameters from which few rows are read at once, and what lies between is computed again for the gradient."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")
SAME = 1e-6
"""Share of the largest logit by which roundings may differ."""


@dataclass(frozen=True)
class Base:
    """A pretrained model: what it was called, and the hash of its weights."""

    name: str
    hash: str


class LanguageModel(nn.Module):
    """A causal model of transformers; its own parameters are those that are trained.

    Frozen weights are neither saved nor copied: a copy reads the same ones.

    Args:
        network: with the parameters that are trained marked by `requires_grad`.
    """

    network: nn.Module

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "network", network.eval())  # no submodule
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                self.register_parameter(name.replace(".", "/"), parameter)

    def forward(self, tokens: Tensor, memory: Any = None, remember: bool = False) -> Any:
        """What transformers gives: `logits` [b, L, V], and `cache`, its memory, to go on from if it shall remember."""
        return self.network(input_ids=tokens, cache=memory, use_cache=remember)

    def __deepcopy__(self, memo: dict[int, Any]) -> "LanguageModel":
        memo |= {id(parameter): parameter for parameter in self.network.parameters() if not parameter.requires_grad}
        return LanguageModel(copy.deepcopy(self.network, memo))

    def to(self, device: torch.device) -> "LanguageModel":  # type: ignore[override]
        """The same model on a device, frozen weights among it."""
        self.network.to(device)
        return self

    @property
    def large(self) -> bool:
        """Whether memory is short."""
        return sum(parameter.numel() for parameter in self.network.parameters()) > LARGE


def speller(tokenizer: Any) -> Spell:
    """A tokenizer as a function of texts, which must come back when they are decoded.

    Raises:
        TardiffError: one does not.
    """

    def spell(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
        for text, back in zip(texts, tokenizer.batch_decode(ids, clean_up_tokenization_spaces=False), strict=True):
            if back.strip() != text.strip():
                raise TardiffError(f"--language-model: its tokenizer cannot spell {text.strip()!r}; rename it, or choose another model")
        return ids

    return spell


def new_tokenizer(task: str, classes: Sequence[str], fields: Sequence[Field]) -> Any:
    """A tokenizer of a data set's own words: names and categories are a token each, numbers a token a digit.

    The first digit of a number is another token than the same digit later, because it begins with a space.
    """
    transformers, tokenizers = needs("transformers", "language"), needs("tokenizers", "language")
    numbers = re.compile(r"-?[0-9.]+")
    words = [f"{task} {name}".replace("_", " ") for name in classes]
    words += [f" {word}" for field in fields for word in (field.name, *field.texts) if not numbers.fullmatch(word)]
    signs = [f"{space}{sign}" for space in ("", " ") for sign in "0123456789.-"]
    words = sorted({*words, END, *signs}, key=lambda word: (-len(word), word))
    vocabulary = {word: number for number, word in enumerate(["<pad>", *words])}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<pad>"))
    pattern = tokenizers.Regex("|".join(map(re.escape, words)))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Split(pattern, behavior="isolated")
    model.decoder = tokenizers.decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>")


def new_model(vocabulary: int, length: int, settings: LanguageSettings, seed: int) -> nn.Module:
    """A small model of Llama's architecture, whose weights are drawn from the seed."""
    transformers = needs("transformers", "language")
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=settings.width,
        intermediate_size=4 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.width // HEAD,
        max_position_embeddings=length,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: nn.Module = transformers.LlamaForCausalLM(config)
    return network


def least_bytes(settings: LanguageSettings) -> int:
    """Bytes of the weights of `new_model`'s layers alone: four matrices for attention and three of four times the width for the rest."""
    return 4 * settings.layers * (4 + 3 * 4) * settings.width**2


def pretrained(name: str, download: bool) -> tuple[nn.Module, Any, Base]:
    """A causal model, frozen, with its tokenizer, and what tells it from others.

    Args:
        name: a folder of transformers or with one .gguf file, an installed package that is such a folder, or a name that transformers
            knows.
        download: whether a name may be fetched over the network; otherwise it must have been fetched before.

    Raises:
        TardiffError: it is not there, is no causal model, or its weights are pickled, missing or damaged.
    """
    transformers = needs("transformers", "language")
    source, options = _located(name, download)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
        network, told = transformers.AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
        )
    except Exception as error:  # transformers raises whatever its parsers raise
        why = " ".join(str(error).split())[:200]
        raise TardiffError(f"--language-model {name}: a causal model of transformers cannot be read ({why})") from error
    if told["missing_keys"] or told["mismatched_keys"]:
        raise TardiffError(f"--language-model {name}: weights are missing from its file; choose a model for causal language modelling")
    _check_causal(name, network)
    network.requires_grad_(False)
    return network, tokenizer, Base(name, weights_hash(network))


def with_adapters(network: nn.Module, rank: int, seed: int) -> nn.Module:
    """The network with a change of low rank to each of its linear maps (LoRA, arXiv 2106.09685), 0 at first, which alone is trained."""
    peft = needs("peft", "language")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        adapted: nn.Module = peft.get_peft_model(network, config)
    return adapted


def _located(name: str, download: bool) -> tuple[str, dict[str, Any]]:
    """Where transformers finds a model, and how it must be told; a folder never asks the network."""
    path = Path(name)
    if not path.exists() and name.isidentifier() and (spec := importlib.util.find_spec(name)) and spec.submodule_search_locations:
        path = Path(spec.submodule_search_locations[0])
    if not path.exists() and download:
        return name, {}
    if not path.exists():
        path = _fetched(name)
    if not path.is_dir():
        raise TardiffError(f"--language-model {name}: is a file; give the folder that it stands in")
    if (path / "adapter_config.json").exists():
        raise TardiffError(f"--language-model {name}: holds adapters of another model; merge them into it, and give that folder")
    packed = sorted(path.glob("*.gguf"))
    if len(packed) > 1:
        raise TardiffError(f"--language-model {name}: holds {len(packed)} .gguf files; give a folder with one")
    if packed:
        needs("gguf", "language")
        return str(path), {"gguf_file": packed[0].name, "local_files_only": True}
    if not any(path.glob("*.safetensors")):
        pickled = next((file.name for pattern in PICKLED for file in sorted(path.glob(pattern))), None)
        what = f"its weights are pickled ({pickled}), and nothing is unpickled" if pickled else "holds no .safetensors or .gguf file"
        raise TardiffError(f"--language-model {name}: {what}; give a folder with weights as safetensors")
    return str(path), {"local_files_only": True}


def _fetched(name: str) -> Path:
    """The folder of a model that was fetched over the network before.

    Raises:
        TardiffError: it was not.
    """
    try:
        config = needs("huggingface_hub", "language").try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name that could be fetched
        config = None
    if not isinstance(config, str):
        raise TardiffError(f"--language-model {name}: is not on this machine; put it where it was, or fetch it with `hf download {name}`")
    return Path(config).parent


@torch.no_grad()
def _check_causal(name: str, network: nn.Module) -> None:
    """What comes later changes nothing that comes before.

    Raises:
        TardiffError: it does, or the network cannot be asked.
    """
    try:
        one, other = (network.eval()(input_ids=torch.tensor([[1, 2, 3, last]])).logits[0, :3] for last in (4, 5))
        causal = bool(torch.isfinite(one).all()) and float((one - other).abs().max()) <= SAME * float(one.abs().max())
    except Exception:  # whatever a network of another kind says
        causal = False
    if not causal:
        raise TardiffError(f"--language-model {name}: it is no causal model, because it reads what comes later; choose one that does not")
