"""A causal language model of random weights with a tokenizer trained on the spot, as a hub repository would hold it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' if add_generation_prompt else '' }}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXTS = [
    "the router is restarted by the button at the back, and the light turns green.",
    "please hold the button for ten seconds until all lights are off!",
    "a printer that prints nothing is often out of ink or paper.",
    "Grüße aus Köln: 1, 2, 3 – und los 👋",
]


def make_llama(folder: Path, template: str | None = CHATML, texts: Sequence[str] = TEXTS, **shape: Any) -> Path:
    """The end mark is also the padding, as in SmolLM2."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import LlamaConfig, LlamaForCausalLM

    from tasks import serving

    serving.quiet()
    folder.mkdir(parents=True)
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(
        texts, BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    made.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}
    about |= {"pad_token": SPECIAL[2], "clean_up_tokenization_spaces": False}
    about |= {"chat_template": template} if template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3}
    config = LlamaConfig(vocab_size=made.get_vocab_size(), bos_token_id=1, eos_token_id=2, pad_token_id=2, **sizes | shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
