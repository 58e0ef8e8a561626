"""What a run needs on a GPU: FLOPs against torch's own count, hours against published runs, memory, doubts."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest

from tasks import cost, memory, target
from tasks.recipes import recipe
from tasks.records import Candidate, Cell, Measured, Quality
from tasks.shape import Shape, shape_of
from tasks.target import Lengths, needed

TASK = "text-classification"
SMALL = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 160}
MINILM = Shape(22.7e6, 6, 384, 1536, 384, 30522, tied=True, glu=False, rms=False)
LLAMA_70B = Shape(68.98e9, 80, 8192, 28672, 1024, 32000)
ROWS, TOKENS = 4, 20


def counted(branch: str) -> int:
    """FLOPs of one pass over ROWS rows of TOKENS tokens as torch counts them: 2abc a matrix product."""
    import torch
    from peft import LoraConfig, LoraModel
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {key: value for key, value in SMALL.items() if key != "model_type"}
    torch.manual_seed(0)
    model: Any = BertForSequenceClassification(BertConfig(vocab_size=50, attn_implementation="eager", **sizes))
    if branch == "lora":
        LoraModel(model.base_model, LoraConfig(r=8, target_modules="all-linear", exclude_modules=".*pooler.*"), "default")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora" in name or "pooler" in name or "classifier" in name)
    if branch == "probe":
        model.bert.pooler = None
        model = model.bert
    ids = torch.randint(0, 50, (ROWS, TOKENS))
    with FlopCounterMode(display=False) as counter:
        out = model(ids)
        if branch != "probe":
            out.logits.sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("branch", ["full", "lora", "probe"])
def test_flops_are_those_that_torch_counts(branch: str) -> None:
    shape = shape_of(SMALL | {"vocab_size": 50})
    assert shape is not None
    plan = {"rank": 8, "epochs": 1, "rows_a_step": ROWS}
    found = target.work(shape, branch, plan, Lengths(TOKENS, TOKENS**2, TOKENS), ROWS)
    classes = 0 if branch == "probe" else 3 * 2 * 2 * SMALL["hidden_size"] * ROWS  # type: ignore[operator]
    assert found.flops + classes == pytest.approx(counted(branch), rel=1e-3)


def test_a_causal_model_pays_for_its_head_and_its_grouped_keys() -> None:
    config = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
    config |= {"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False}
    shape = shape_of(config)
    assert shape is not None
    assert shape.params == pytest.approx(8.03e9, rel=0.002)
    plan = {"epochs": 1, "rows_a_step": 1}
    found = target.work(shape, "full", plan, Lengths(2048, 2048**2, 2048), 1, "text-generation")
    per_token = cost.flops_per_token(shape.params - 128256 * 4096, 32, 4096, 2048)
    assert found.flops / 2048 == pytest.approx(per_token, rel=1e-9)


def test_a_config_without_layers_is_no_shape() -> None:
    assert shape_of({"model_type": "resnet"}) is None


# ---- from the records ------------------------------------------------------------------------------------------------


def base(**changes: Any) -> Candidate:
    about = {
        "name": "L6",
        "sha256": "0",
        "licence": "mit",
        "source": "-",
        "parameters": 22_700_000,
        "bytes": 1,
        "max_tokens": 512,
    }
    about |= {"fertility": 1.3, "shape": asdict(MINILM), "row_tokens": [10] * 11 + [50] * 9 + [400]}
    return Candidate(**(about | changes))


def cells(branch: str, n: int = 100, tokens_a_row: float = 30.0) -> list[Cell]:
    plan = recipe(branch, TASK, n)
    tokens = round(n * tokens_a_row * plan.get("epochs", 1))
    took = Measured(cpu_seconds=1, wall_seconds=1, predict_cpu_seconds=1, peak_gb=1, model_gb=0.1, tokens=tokens, machine="-")
    quality = Quality(accuracy=0.8, macro_f1=0.8, log_loss=0.5)
    shas = {"train_sha256": "-", "heldout_sha256": "-", "base_sha256": None}
    return [
        Cell(
            key="k",
            branch=branch,
            base_model=None,
            recipe=plan,
            seed=0,
            n=n,
            n_heldout=1,
            quality=quality,
            measured=took,
            **shas,
        )
    ]


def on(gpu: str, branch: str = "full", n: int = 100_000, count: int = 1, **changes: Any) -> target.Needed:
    found = needed(cells(branch), branch, base(**changes), recipe(branch, TASK, n), n, TASK, gpu, count)
    assert not isinstance(found, str), found
    return found


def test_tokens_of_a_full_run_are_the_pilots_tokens_a_row_times_rows_and_epochs() -> None:
    assert on("H100").work.tokens == pytest.approx(100_000 * 30 * 3)


def test_lengths_are_cut_where_the_recipe_cuts_them() -> None:
    found = target.lengths_of(cells("full"), base(), recipe("full", TASK, 1000))
    assert found is not None
    assert (found.mean, found.longest) == (30.0, 128.0)
    assert 30**2 < found.mean_square < 30 * 128


def test_a_small_encoder_is_bound_by_its_host_and_says_so() -> None:
    one, eight = on("H100"), on("H100", count=8)
    assert one.hours == eight.hours
    assert "bound by the time in which its host issues them" in one.remarks[0]
    assert one.hours.high90 / one.hours.value == pytest.approx(target.OUTSIDE)


def test_a_large_model_takes_the_hours_of_published_runs() -> None:
    large = asdict(LLAMA_70B)
    found = on("A100", n=10_000, parameters=68_980_000_000, shape=large)
    hours = found.work.flops / (3600 * 312e12 * cost.whole_run_mfu(found.work.params, cost.gpus()["A100"]))
    assert found.hours.value == pytest.approx(hours)
    assert found.hours.high90 / found.hours.value == pytest.approx(1.76)
    assert on("A100", n=10_000, count=2, parameters=68_980_000_000, shape=large).hours.value == pytest.approx(hours / 2)
    assert not found.fits
    assert "GiB on A100" in found.remarks[-1]


def test_lora_takes_about_two_thirds_of_full_fine_tuning_and_less_memory() -> None:
    full, lora = on("H100"), on("H100", "lora")
    assert 0.6 < lora.work.flops / full.work.flops < 0.75
    assert lora.peak_gb < full.peak_gb


def test_scratch_is_counted_from_its_recipes_architecture() -> None:
    plan = recipe("scratch", TASK, 1000)
    found = needed(cells("scratch"), "scratch", None, plan, 1000, TASK, "L4", 1)
    assert not isinstance(found, str)
    assert found.work.params == 2 * (4 * 128**2 + 2 * 128 * 512)
    assert found.fits


def test_a_language_model_by_depth_is_packed_and_counted_with_its_head() -> None:
    plan = {"depth": 4, "vocabulary": 4096, "epochs": 2, "tokens_a_step": 2048, "tokens_a_pass": 2048, "max_tokens": 256}
    measured = [cell.model_copy(update={"recipe": plan}) for cell in cells("scratch", n=100, tokens_a_row=100 * 10 / 2)]
    found = needed(measured, "scratch", None, plan, 1000, "text-generation", "H100", 1)
    assert not isinstance(found, str)
    weights, attention = 4096 * 256 + 4 * (4 * 256**2 + 3 * 256 * 704), 12 * 4 * 256 * 256
    assert found.work.flops == pytest.approx(found.work.tokens * (6 * weights + attention))
    assert found.work.passes == math.ceil(found.work.tokens / 2 / 2048) * 2


@pytest.mark.parametrize(
    ("gpu", "changes", "reason"),
    [("quantum", {}, "no such GPU"), ("H100", {"shape": None}, "the shape of L6 is not known")],
)
def test_what_cannot_be_said_has_a_reason(gpu: str, changes: dict[str, Any], reason: str) -> None:
    found = needed(cells("full"), "full", base(**changes), recipe("full", TASK, 100), 100, TASK, gpu, 1)
    assert isinstance(found, str)
    assert reason in found


def test_a_pilot_that_counted_no_tokens_leaves_the_hours_unknown() -> None:
    found = needed(cells("full", tokens_a_row=0), "full", base(), recipe("full", TASK, 100), 100, TASK, "H100", 1)
    assert found == "the pilots of full counted no tokens"


def test_the_margin_of_memory_is_the_stated_one() -> None:
    found = on("H100")
    gib = found.peak_gb * 1e9 / memory.GIB
    assert found.peak_gb_high * 1e9 / memory.GIB == pytest.approx(1.10 * 1.2 * gib + 1)
    assert memory.fits(gib, found.peak_gb_high * 1e9 / memory.GIB + 1e-9, calibrated=False)


# ---- doubts ------------------------------------------------------------------------------------------------


def test_implausible_inputs_are_named() -> None:
    assert target.doubts("H100", 1, (2.0, 3.0)) == []
    assert target.doubts("H100", 1, (0.05, 3.0)) == [
        "hardware.usd_per_gpu_hour = 0.05: $0.05 for a GPU-hour; H100 costs $0.5 to $13.0; "
        "public pages asked $1.99 to $7.20 between 2026-03 and 2026-05"
    ]
    assert "not one that tables/gpus.csv knows" in target.doubts("quantum", 1, None)[0]


def test_a_deadline_beyond_the_peak_is_impossible() -> None:
    run = on("A100")
    least = run.work.flops / (3600 * 312e12)
    (line,) = target.doubts("A100", 1, None, run, least / 1.05)
    assert line.endswith("needs 105% of the peak of 1 A100; impossible")
    assert target.doubts("A100", 1, None, run, math.inf) == []
