"""Estimates for a table of cases without outcomes.

    python -m tasks.predict curves|cost|memory|verdict IN.csv OUT.csv

OUT has `id,estimate,low90,high90,flag` first. A refusal is an empty estimate with the reason in `flag`; a flag beside an
estimate is a warning.

- `curves`: columns `curve,learner,n,value,seed,to_n,higher_is_better`; the value at `to_n`, one row a curve.
- `cost`: those of `tables/training_runs.csv` without outcomes; GPU-hours from size, tokens and GPU.
- `memory`: those of `tables/memory_truth.csv` without outcomes (the row's number where there is no `id`); peak memory of
  one GPU in the unit its source uses (litgpt, PEFT and 405B: GB, others GiB). `fits` is 1 if 1.10 x + 1 GiB is no more than
  the GPU has, 0 if not, empty if the GPU is unknown. Sources with other code need a column `sequence_length`.
- `verdict`: those of `tables/ft_vs_scratch.csv` without outcomes; the probability that transfer wins, for screening
  only. `abstain` is 1 where nothing can be said without a pilot; the estimate is then empty and `p_transfer` one half.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks import cost, memory, published, verdicts
from tasks.published_peaks import memory_case
from tasks.stage import UserError

Row = Mapping[str, str]
Answer = dict[str, object]
FIRST = ["id", "estimate", "low90", "high90", "flag"]
ANY_WORTH = 1e15
"""No estimate above this is written: the inputs were wrong."""


def refusal(reason: str) -> Answer:
    return {"estimate": "", "low90": "", "high90": "", "flag": reason}


def answer(value: float, low: float, high: float, flag: str = "") -> Answer:
    if not 0 <= value < ANY_WORTH:
        return refusal("the estimate is out of all bounds; check the inputs")
    return {"estimate": f"{value:.6g}", "low90": f"{low:.6g}", "high90": f"{high:.6g}", "flag": flag}


def predict_cost(row: Row) -> Answer:
    case = published.cost_case(row)
    if isinstance(case, str):
        return refusal(case)
    return answer(*cost.gpu_hours(case.flops, case.params, case.gpu), case.flag)


def predict_memory(row: Row) -> Answer:
    case = memory_case(row)
    if isinstance(case, str):
        return refusal(case) | {"fits": ""}
    peak = memory.peak(case.shape, case.recipe)
    if peak.gib is None or peak.low90 is None or peak.high90 is None:
        return refusal(peak.reason or "refused") | {"fits": ""}
    unit = memory.GIB / case.unit
    fits = "" if case.gpu is None else int(memory.fits(peak.gib, case.gpu.gib, case.calibrated))
    flag = "" if case.calibrated else "no peak of this code was compared with the formula: take a fifth more"
    return answer(peak.gib * unit, peak.low90 * unit, peak.high90 * unit, flag) | {"fits": fits}


def predict_verdict(row: Row) -> Answer:
    screening = verdicts.screen(row)
    chance = verdicts.chance(screening.rule)
    if screening.rule is None:
        return refusal(screening.reason) | {"p_transfer": f"{chance.p:.3f}", "abstain": 1}
    flag = f"screening only: {screening.rule}"
    return answer(*chance, flag) | {"p_transfer": f"{chance.p:.3f}", "abstain": 0}


def _each(predict: Callable[[Row], Answer]) -> Callable[[Sequence[Row]], list[Answer]]:
    return lambda rows: [{"id": row.get("id") or str(k)} | predict(row) for k, row in enumerate(rows, 1)]


def predict_curves(rows: Sequence[Row]) -> list[Answer]:
    from tasks import curves

    return [dict(found) for found in curves.predict_rows(rows)]


CURVES = ["curve", "n", "value", "to_n", "higher_is_better"]
KINDS: dict[str, tuple[list[str], list[str], Callable[[Sequence[Row]], list[Answer]]]] = {
    "curves": (CURVES, [], predict_curves),
    "cost": (["id", "params_b", "tokens_b", "gpu"], [], _each(predict_cost)),
    "memory": (["model", "params_b", "n_gpu", "method"], ["fits"], _each(predict_memory)),
    "verdict": (["id", "comparison", "scratch_desc"], ["p_transfer", "abstain"], _each(predict_verdict)),
}
"""Needed columns, further columns written, and the function from rows to rows."""


def main(kind: str, given: Path, written: Path) -> None:
    """Raises UserError for an unknown kind, a file that cannot be read or written, and a missing column."""
    if kind not in KINDS:
        raise UserError(f"tasks.predict: {kind!r} is unknown; give one of {', '.join(KINDS)}")
    columns, further, predict = KINDS[kind]
    answers = predict(published.read(given, columns))
    try:
        with written.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, FIRST + further, lineterminator="\n")
            table.writeheader()
            table.writerows(answers)
    except OSError as error:
        raise UserError(f"{written}: cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    try:
        if len(sys.argv) != 4:
            raise UserError("usage: python -m tasks.predict curves|cost|memory|verdict IN.csv OUT.csv")
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
