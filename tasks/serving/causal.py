"""A causal language model that answers chats and continues texts, as transformers defines it.

`serving.json`: `max_tokens` (prompt and answer together), `max_new_tokens`, and if they apply `chat` (prompts go through the
folder's chat template, a plain text as the user's message), `examples` (messages put before every question: few shot),
`system` (a system message for chats that have none; without it some templates put in their own), `stop` (texts that end an
answer, for models that were never taught to end one), `first` (the token before a text; default: the tokenizer's own).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import Message, Prompt, Told, by_length, quiet, silent
from .scoring import Ids, Question, can_share, first_token, options, plain_ids, read_shared, texts

TOKENS_A_BATCH = 16_384  # prompts and answers, with padding: what the cache holds


class Causal:
    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.tokenizer, self.model = chat_tokenizer(folder), causal_model(folder).eval()
        self.max_tokens, self.max_new_tokens = about["max_tokens"], about["max_new_tokens"]
        self.chat: bool = about.get("chat", False)
        self.examples: list[Message] = about.get("examples", [])
        self.system: str | None = about.get("system")
        self.stop: list[str] = about.get("stop", [])
        self.first: int = about.get("first", first_token(self.tokenizer))
        self.ends = _only_greedy(self.model, self.tokenizer, self.max_new_tokens)
        self.cut = 0
        """Prompts cut on the left so far, because they were too long."""

    def answers(self, prompts: Sequence[Prompt], told: Told = silent) -> list[str]:
        """One for each prompt. What all prompts begin with (the examples of few shot, say) is read once."""
        ids = [self._fitting(self._prompt_ids(prompt), self.max_new_tokens) for prompt in prompts]
        sizes, out = [len(row) + self.max_new_tokens for row in ids], [""] * len(ids)
        past, done = self._shared(ids, max(sizes, default=0)), 0
        for rows in by_length(sizes, TOKENS_A_BATCH):
            made = self._generate([ids[row] for row in rows], copy.deepcopy(past))
            for row, answer in zip(rows, made, strict=True):
                out[row] = answer
            done += len(rows)
            told(done / len(prompts))
        return out

    def nats(self, given: Sequence[str]) -> list[float]:
        ids = [plain_ids(self.tokenizer, text) for text in given]
        return [-value for value in texts(self.model, ids, self.first, self.max_tokens)]

    def answer_nats(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Minus the natural logarithm of the probability of each answer after its prompt, its end not counted."""
        wanted = [self._answer_ids(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        asked = [(self._fitting(self._prompt_ids(p), len(w)), w) for p, w in zip(prompts, wanted, strict=True)]
        full = [place for place, (_, answer) in enumerate(asked) if answer]
        scores = options(self.model, [Question(asked[place][0], [asked[place][1]]) for place in full])
        out = [0.0] * len(asked)
        for place, (score,) in zip(full, scores, strict=True):
            out[place] = -score
        return out

    def _prompt_ids(self, prompt: Prompt) -> Ids:
        if not self.chat:
            return [self.first, *plain_ids(self.tokenizer, prompt if isinstance(prompt, str) else prompt[-1]["content"])]
        return plain_ids(self.tokenizer, render(self.tokenizer, self._messages(prompt)))

    def _answer_ids(self, prompt: Prompt, answer: str) -> Ids:
        """As the template writes it, with a space before it, say, and up to its last character."""
        if not self.chat or not answer:
            return plain_ids(self.tokenizer, answer)
        messages = self._messages(prompt)
        before = render(self.tokenizer, messages)
        after = render(self.tokenizer, [*messages, {"role": "assistant", "content": answer}], answer_follows=False)
        written = after[len(before) :] if after.startswith(before) else answer
        return plain_ids(self.tokenizer, written[: written.find(answer) + len(answer)] if answer in written else answer)

    def _messages(self, prompt: Prompt) -> list[Message]:
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        return with_system([*self.examples, *asked], self.system)

    def _fitting(self, ids: Ids, answer_tokens: int) -> Ids:
        room = max(self.max_tokens - answer_tokens, 1)
        self.cut += len(ids) > room
        return ids[-room:]

    def _shared(self, prompts: list[Ids], longest: int) -> Any:
        """A cache with what all prompts begin with; None for models that need one of their own kind."""
        import torch

        from .cache import growing

        if not can_share(self.model, longest):
            return None
        with torch.inference_mode():
            return read_shared(self.model, prompts, growing(self.model))

    def _generate(self, prompts: list[Ids], past: Any) -> list[str]:
        """One batch, padded on the left of what is not read yet; an answer ends at an end mark or a stop."""
        import torch

        longest, read = max(map(len, prompts)), 0 if past is None else past.get_seq_length()
        more: dict[str, Any] = {"stop_strings": self.stop, "tokenizer": self.tokenizer} if self.stop else {}
        if past is not None:
            past.batch_repeat_interleave(len(prompts))
            more["past_key_values"] = past
        ids = torch.tensor([row[:read] + [self.ends[0]] * (longest - len(row)) + row[read:] for row in prompts])
        mask = torch.tensor([[1] * read + [0] * (longest - len(row)) + [1] * (len(row) - read) for row in prompts])
        with torch.inference_mode():
            made = self.model.generate(ids, attention_mask=mask, **more)
        return [self._text(row) for row in made[:, longest:].tolist()]

    def _text(self, ids: Ids) -> str:
        end = next((place for place, token in enumerate(ids) if token in self.ends), len(ids))
        text: str = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        for stop in self.stop:
            text = text.split(stop)[0]
        return text.strip() if self.chat else text


def render(tokenizer: Any, messages: Sequence[Message], answer_follows: bool = True) -> str:
    """The chat as the template writes it; with the beginning of an answer where one follows."""
    written: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=answer_follows)
    return written


def with_system(messages: Sequence[Message], system: str | None) -> list[Message]:
    """The messages with this system message in front, unless they have one or there is none to put."""
    own = system is None or (messages and messages[0]["role"] == "system")
    return list(messages) if own else [{"role": "system", "content": str(system)}, *messages]


def chat_tokenizer(folder: Path) -> Any:
    """transformers' tokenizer of a folder: with the chat template of `chat_template.jinja` or `tokenizer_config.json`."""
    from transformers import AutoTokenizer

    quiet()
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def causal_model(folder: Path) -> Any:
    """The causal language model of a folder, float32."""
    import torch
    from transformers import AutoModelForCausalLM

    quiet()
    torch.set_float32_matmul_precision("medium")  # as in `run`
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's end mark, and what the model's generation settings name beside it."""
    named = model.generation_config.eos_token_id
    named = named if isinstance(named, list) else [named]
    return list(dict.fromkeys(token for token in [tokenizer.eos_token_id, *named] if token is not None)) or [0]


def _only_greedy(model: Any, tokenizer: Any, max_new_tokens: int) -> list[int]:
    """Drop what the base's author set for sampling and penalties; its end tokens stay, and are returned."""
    from transformers import GenerationConfig

    ends = end_tokens(model, tokenizer)
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=ends[0]
    )
    return ends
