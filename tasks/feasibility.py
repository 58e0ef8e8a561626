"""Can the text at hand and the budget carry a model trained from scratch? A screening beside the pilots, never the verdict.

The laws behind it (`tasks.scaling`) were fitted to language models of 10 million parameters and more on web text. For a
small classifier they say which side a case lies on, no more; every result outside their sizes says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks import cost, scaling
from tasks.cost import Gpu
from tasks.records import Candidates, ScratchFeasibility, Size
from tasks.scaling import BESIROGLU, TOKENS_PER_PARAMETER
from tasks.verdicts import ENOUGH, TINY

FITTED = (10e6, 9e9)
"""Parameters of the models that the laws were fitted to (arXiv 2305.16264)."""
MONTHS_SERVED = 24
TOKENS_A_WORD = 1.3
"""Of English with a vocabulary made for it, where no candidate's is known."""


def feasibility(
    unique_tokens: float,
    planned_params: float,
    planned_epochs: float,
    budget_flops: float | None = None,
    served_tokens: float = 0.0,
    fertility: Mapping[str, float | None] | None = None,
) -> ScratchFeasibility:
    """`unique_tokens` of training text without its duplicates; `served_tokens` over the model's life."""
    unique_tokens = max(unique_tokens, 1.0)
    ratio = scaling.data_ratio(unique_tokens, planned_params)
    planned = _size(planned_params, unique_tokens * planned_epochs, unique_tokens)
    affordable = on_text = serving = None
    if budget_flops:
        affordable = _size(*scaling.compute_optimal(BESIROGLU, budget_flops), unique_tokens)
        on_text = _size(*scaling.best_size_for_text(budget_flops, unique_tokens), unique_tokens)
        if served_tokens:
            reached = scaling.loss(BESIROGLU, affordable.params, affordable.tokens)
            best = scaling.best_size_with_serving(BESIROGLU, reached, served_tokens)
            serving = _size(*best, unique_tokens) if best else None
    return ScratchFeasibility(
        unique_tokens=unique_tokens,
        budget_flops=budget_flops,
        planned=planned,
        affordable=affordable,
        on_this_text=on_text,
        for_serving=serving,
        enough_text=affordable.text_share >= 1 if affordable else None,
        favours="scratch" if ratio >= ENOUGH else "measure" if ratio >= TINY else "transfer",
        fertility=dict(fertility or {}),
        remarks=_remarks(planned, affordable, on_text),
    )


def _size(params: float, tokens: float, unique_tokens: float) -> Size:
    epochs = tokens / unique_tokens
    worth = scaling.effective_epochs(epochs)
    share = unique_tokens * worth / (TOKENS_PER_PARAMETER * params)
    return Size(params=params, tokens=tokens, epochs=epochs, effective_epochs=worth, text_share=share)


def _remarks(planned: Size, affordable: Size | None, on_text: Size | None) -> list[str]:
    said = []
    named = {
        "the model that would be trained": planned,
        "the one that the budget affords": affordable,
        "the best one for this text": on_text,
    }
    sizes = {f"{name} ({_count(size.params)} parameters)": size for name, size in named.items() if size}
    outside = [name for name, size in sizes.items() if not FITTED[0] <= size.params <= FITTED[1]]
    if outside:
        said.append(
            "The laws were fitted to models of 10 million to 9 billion parameters. "
            f"Outside of that, and therefore no more than a hint: {', '.join(outside)}."
        )
    if affordable and affordable.text_share < 1:
        said.append(
            f"The budget affords {_count(affordable.params)} parameters on {_count(affordable.tokens)} tokens; the text, read "
            f"{affordable.epochs:.3g} times, is worth {affordable.text_share:.1%} of that."
        )
    return said


def _count(number: float) -> str:
    for size, unit in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


# ---- what goes in ------------------------------------------------------------------------------------------------------


def of_hardware(
    words: float,
    candidates: Candidates,
    planned: tuple[float, float],
    hardware: tuple[str | None, int, float],
    limits: tuple[float | None, float | None],
    requests_per_month: float | None,
    tokens_a_row: float,
) -> ScratchFeasibility:
    """`feasibility` as a decision asks it. `planned`: parameters and epochs of the recipe; `hardware`: GPU, how many, USD an
    hour of one; `limits`: USD and hours. Without a known GPU, what the budget affords is not known."""
    gpu = cost.find_gpu(hardware[0]) if hardware[0] else None
    flops = affordable_flops(gpu, hardware[1], hardware[2], *limits) if gpu else None
    served = served_tokens(requests_per_month, tokens_a_row)
    fertility = {one.name: one.fertility for one in candidates.candidates}
    return feasibility(unique_tokens(words, candidates), *planned, flops, served, fertility)


def unique_tokens(words: float, candidates: Candidates) -> float:
    """Of training text with so many words (duplicates left out), by the vocabulary that suits it best."""
    known = [one.fertility for one in candidates.candidates if one.fertility]
    return words * (min(known) if known else TOKENS_A_WORD)


def affordable_flops(
    gpu: Gpu, count: int, usd_per_gpu_hour: float, budget_usd: float | None, deadline_hours: float | None
) -> float | None:
    """FLOPs of the largest run, counted as 6ND, that money and time allow; None where neither is limited.

    Efficiency depends on the size and the size on the FLOPs: solved by repetition.
    """
    hours = [count * deadline_hours] if deadline_hours is not None else []
    hours += [budget_usd / usd_per_gpu_hour] if budget_usd is not None and usd_per_gpu_hour > 0 else []
    if not hours:
        return None
    most = min(hours) * 3600 * gpu.tflops * 1e12
    flops = 0.2 * most
    for _ in range(30):
        flops = most * cost.whole_run_mfu(scaling.compute_optimal(BESIROGLU, max(flops, 1.0))[0], gpu)
    return flops


def served_tokens(requests_per_month: float | None, tokens_a_request: float) -> float:
    """Over MONTHS_SERVED; 0 where the volume is not declared."""
    return (requests_per_month or 0.0) * MONTHS_SERVED * tokens_a_request
