"""What weighing the options of multiple-choice questions costs here, and with lm-eval's Hugging Face backend.

    python -m tests.benchmarks.scoring          CPU-seconds, three rounds; needs PYTHONPATH=.venv/references (`make bench`)

Each contender a fresh process on one core, interleaved: the same model (LLaMA of 10 M weights beside a table of 32,768
tokens), the same questions of four options, zero shot and with four solved examples in front. A ratio counts only while all
log-probabilities agree to 1e-4. Only the scoring is timed, tokenizing included, imports and loading not.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

QUESTIONS, OPTIONS, ROUNDS = 48, 4, 3
CONTENDERS = {
    "ours": {},
    "lm-eval, defaults (batch_size=1)": {"batch_size": 1},
    "lm-eval, best flags found (batch_size=8)": {"batch_size": 8},
}
SHOTS = {"zero shot": 0, "four shots": 4}
AGREE = 1e-4


def questions(shots: int) -> list[tuple[str, list[str]]]:
    """A context of some 100 words, and options of 2 to 9; words are made up, so that nothing has to be fetched."""
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 9))) for _ in range(3000)]

    def said(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    head = "".join(f"Question: {said(30, 60)}?\nAnswer: {said(2, 9)}\n\n" for _ in range(shots))
    return [
        (f"{head}Question: {said(60, 140)}?\nAnswer:", [f" {said(2, 9)}" for _ in range(OPTIONS)]) for _ in range(QUESTIONS)
    ]


def make_model(folder: Path) -> None:
    """Random weights, 6 layers of 320, and a byte-level BPE tokenizer trained on the questions."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import LlamaConfig, LlamaForCausalLM

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=4000, special_tokens=["<|endoftext|>"], show_progress=False)
    made.train_from_iterator([context + "".join(options) for context, options in questions(4)], trainer)
    folder.mkdir(parents=True)
    made.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast"} | {
        f"{name}_token": "<|endoftext|>" for name in ("bos", "eos", "pad")
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    torch.manual_seed(0)
    sizes = {"hidden_size": 320, "intermediate_size": 864, "num_hidden_layers": 6, "num_attention_heads": 5}
    config = LlamaConfig(vocab_size=32768, bos_token_id=0, eos_token_id=0, tie_word_embeddings=True, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)


def measure() -> list[dict[str, Any]]:
    """The rows for benchmarks.json: CPU-seconds, ours and lm-eval's."""
    import lm_eval  # noqa: F401  the contenders' own processes could only fail

    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        make_model(folder)
        for shots in SHOTS:
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
            for _ in range(ROUNDS):
                for name in CONTENDERS:
                    runs[name].append(_fresh_process(name, shots, folder))
            rows += [_row(shots, runs["ours"], name, runs[name]) for name in list(CONTENDERS)[1:]]
    return rows


def _row(shots: str, ours: list[dict[str, Any]], name: str, theirs: list[dict[str, Any]]) -> dict[str, Any]:
    apart = max(abs(a - b) for a, b in zip(ours[0]["scores"], theirs[0]["scores"], strict=True))
    if apart > AGREE:
        sys.exit(f"{name}: log-probabilities differ by up to {apart:.2g}: no comparison")
    our_seconds, their_seconds = (median(run["cpu_seconds"] for run in runs) for runs in (ours, theirs))
    return {
        "area": "evaluation",
        "measure": f"scoring {QUESTIONS} questions of {OPTIONS} options, {shots}, CPU-seconds of one core",
        "ours": round(our_seconds, 2),
        "theirs": round(their_seconds, 2),
        "ratio": round(their_seconds / our_seconds, 2),
        "against": name,
        "log_probabilities_apart": apart,
        "versions": {package: importlib.metadata.version(package) for package in ("torch", "transformers", "lm-eval")},
    }


def _fresh_process(name: str, shots: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.scoring", "contender", name, shots, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    run: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return run


def contender(name: str, shots: str, folder: Path) -> dict[str, Any]:
    """Score all questions by one way in this process: CPU-seconds, and every option's log-probability."""
    asked = questions(SHOTS[shots])
    score = _ours(folder) if name == "ours" else _lm_eval(folder, CONTENDERS[name]["batch_size"])
    start = time.process_time()
    scores = score(asked)
    return {"cpu_seconds": time.process_time() - start, "scores": scores}


def _ours(folder: Path) -> Any:
    from tasks.serving import scoring
    from tasks.serving.causal import causal_model, chat_tokenizer

    tokenizer, model = chat_tokenizer(folder), causal_model(folder).eval()

    def score(asked: list[tuple[str, list[str]]]) -> list[float]:
        found = scoring.options(model, [scoring.question(tokenizer, context, options, 2048) for context, options in asked])
        return [value for row in found for value in row]

    return score


def _lm_eval(folder: Path, batch_size: int) -> Any:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=batch_size)

    def score(asked: list[tuple[str, list[str]]]) -> list[float]:
        pairs = [(context, option) for context, options in asked for option in options]
        requests = [Instance("loglikelihood", {}, pair, place) for place, pair in enumerate(pairs)]
        return [value for value, _ in model.loglikelihood(requests, disable_tqdm=True)]

    return score


def main() -> None:
    match sys.argv[1:]:
        case []:
            print(json.dumps(measure(), indent=1))
        case ["contender", name, shots, folder]:
            print(json.dumps(contender(name, shots, Path(folder))))
        case other:
            sys.exit(f"{' '.join(other)}: see the docstring for what can be asked")


if __name__ == "__main__":
    main()
