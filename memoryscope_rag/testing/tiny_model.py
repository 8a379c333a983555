"""Tiny transformers models with random weights, made on the spot: for tests (extra transformers).

A byte is a token, so nothing is out of vocabulary and a character may take several tokens. The
same arguments give the same weights; torch's global random state is left as it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.models.torch_runtime import quietly, require_transformers

Architecture = Literal["llama", "qwen2", "qwen3", "mistral"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAGS = ("<think>", "</think>")
VOCABULARY = 256 + len(SPECIAL) + len(TAGS)


def tiny_tokenizer(*, chat_template: str | None = CHAT_TEMPLATE) -> Any:
    """A transformers tokenizer: the 256 bytes, ChatML's marks, reasoning tags (not special)."""
    require_transformers("tiny_tokenizer")
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in SPECIAL])
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    fast: Any = PreTrainedTokenizerFast  # its constructor has no types
    return fast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        bos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        chat_template=chat_template,
    )


def tiny_decoder(
    folder: Path,
    *,
    architecture: Architecture = "llama",
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 8,
    context: int = 512,
    seed: int = 0,
    says: str | None = None,
    chat_template: str | None = CHAT_TEMPLATE,
) -> Path:
    """Make ``folder`` a causal language model with its tokenizer, and return it.

    Args:
        context: the longest sequence, in bytes.
        says: the reply it gives to everything. No token may stand in it twice, nor a line break.
    """
    require_transformers("tiny_decoder")
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_tokenizer(chat_template=chat_template)
    if says is not None:  # so wide that every token has a dimension of its own
        head_dim = -(-VOCABULARY // (2 * heads)) * 2
    config = AutoConfig.for_model(
        architecture,
        vocab_size=VOCABULARY,
        hidden_size=heads * head_dim,
        head_dim=head_dim,
        intermediate_size=2 * heads * head_dim,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        kind: Any = AutoModelForCausalLM
        model = kind.from_config(config, dtype=torch.float32)
    randomise(model, seed)
    if says is not None:
        _teach(model, tokenizer, says)
    with quietly():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def randomise(model: Any, seed: int) -> None:
    """Give every weight matrix random values; norms and biases stay as they are made."""
    import torch

    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            if weight.dim() >= 2:
                weight.copy_(torch.randn(weight.shape, generator=source) / weight.shape[-1] ** 0.5)


def _teach(model: Any, tokenizer: Any, text: str) -> None:
    """Make every token lead to the one after it in ``text``, whatever came before."""
    import torch

    chain = tokenizer("\n" + text, add_special_tokens=False)["input_ids"]
    if len(set(chain)) < len(chain):
        raise InvalidInput("says", "holds a token twice")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        embedding = model.get_input_embeddings().weight
        embedding.zero_()
        embedding.fill_diagonal_(1.0)
        head = model.get_output_embeddings().weight
        head.zero_()
        for before, after in zip(chain, [*chain[1:], tokenizer.eos_token_id], strict=True):
            head[after, before] = 1.0
