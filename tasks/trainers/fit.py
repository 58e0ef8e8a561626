"""The engine: one loop that trains any torch module on any batches, exactly resumable. Plain torch.

Everything random is a function of (seed, step): the batches, and dropout, whose generator is seeded anew at each step. So
a resumed training continues bit for bit (on one kind of CPU and number of threads) from weights, optimizer and step alone,
and no callback can disturb it. A loss is a *sum* over rows (or labelled tokens); gradients are divided by their number in
the whole step, so that splitting a step into several passes changes nothing but memory.

Not here: more than one device (`fit` is where the model would be sharded), mixed devices, loss scaling for float16.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tasks.stage import Interrupted
from tasks.trainers import Job, Spent, checkpoint, cpu_seconds, peak_gb


@dataclass
class Batch:
    """What one pass computes on: the model's keyword arguments, the targets, and how much that is."""

    inputs: dict[str, Tensor]
    targets: Tensor
    weight: int
    """Rows, or labelled tokens: what the loss is a sum over."""
    tokens: int
    """Without padding."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """What the loss adds to the metrics, by name, as sums over what it is a sum over; it fills this in."""

    def to(self, device: torch.device) -> Batch:
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(inputs, self.targets.to(device, non_blocking=True), self.weight, self.tokens)


class Data(Protocol):
    steps: int

    def __call__(self, step: int) -> list[Batch]:
        """The passes of one optimizer step (0-based): a pure function of the step."""


Loss = Callable[[nn.Module, Batch], Tensor]
Optimizers = list[torch.optim.Optimizer]


@dataclass
class State:
    """How far a training is; with the weights and the optimizer's moments it is all that a resume needs."""

    step: int = 0
    tokens: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


@dataclass
class Stop:
    """Why to stop after the current step; empty: go on."""

    reason: str = ""


def fit(
    model: nn.Module,
    data: Data,
    loss: Loss,
    job: Job,
    identity: str = "",
    autocast: bool = True,
    flops_a_token: float | None = None,
) -> Spent:
    """Train `model` in place for `data.steps` steps by `job.recipe`: learning_rate, weight_decay, betas, clip, schedule,
    warmup_share, decay_share, optimizer. `identity` names everything else that a checkpoint to resume from must agree in.
    `autocast` is off for models that choose their own precision. With `flops_a_token`, metrics have the model FLOPs
    utilisation (MFU).

    Raises Interrupted after SIGTERM or when `job.max_seconds` are used up, with a checkpoint if `job.checkpoints` is set.
    """
    device = _device()
    model.to(device).train()
    optimizers = optimizers_of(model, job.recipe, device)
    state = _resume(model, optimizers, job, identity)
    loss = _cast(loss, device) if autocast else loss
    peak = peak_flops(device) if flops_a_token and job.metrics else None
    before, clock = State(**vars(state)), _Clock()
    with _stop_on_sigterm() as stop, _metrics(job.metrics, state.step) as tell, precision(device):
        while state.step < data.steps and not stop.reason:
            line = _step(model, optimizers, data, loss, job, state, device)
            state.cpu_seconds, state.wall_seconds = before.cpu_seconds + clock.cpu(), before.wall_seconds + clock.wall()
            speed = (state.tokens - before.tokens) / max(clock.wall(), 1e-9)
            mfu = {"mfu": speed * flops_a_token / peak} if flops_a_token and peak else {}
            tell(line | {"tokens_per_s": speed, "peak_gb": peak_gb()} | mfu)
            job.on_progress(state.step, data.steps)
            if job.max_seconds is not None and state.wall_seconds >= job.max_seconds and state.step < data.steps:
                stop.reason = f"{job.cap or f'the {job.max_seconds:g} s given to it are'} used up; raise the cap and run again"
            if job.checkpoints and (stop.reason or clock.due(job.checkpoint_every_seconds)) and state.step < data.steps:
                checkpoint.save(job.checkpoints, state.step, weights(model), moments(model, optimizers), vars(state), identity)
    if state.step < data.steps:
        kept = "saved" if job.checkpoints else "not saved"
        raise Interrupted(f"training stopped at step {state.step} of {data.steps} ({kept}): {stop.reason}")
    return Spent(state.step, data.steps, state.tokens, before.cpu_seconds, before.wall_seconds)


def _step(
    model: nn.Module, optimizers: Optimizers, data: Data, loss: Loss, job: Job, state: State, device: torch.device
) -> dict[str, float]:
    """One optimizer step; returns its line of metrics."""
    seed(seed_of(job.seed, state.step), device)
    rate = job.recipe["learning_rate"] * share_of_rate(state.step, data.steps, job.recipe)
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = rate
    passes = [batch.to(device) for batch in data(state.step)]
    weight = sum(batch.weight for batch in passes)
    total = torch.zeros((), device=device)
    for batch in passes:
        part = loss(model, batch) / weight
        part.backward()  # type: ignore[no-untyped-call]
        total += part.detach()
    norm = nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], job.recipe["clip"])
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.tokens += sum(batch.tokens for batch in passes)
    told = {name: sum(float(batch.sums[name]) for batch in passes) / weight for name in passes[0].sums}
    return told | {"step": state.step, "loss": float(total), "lr": rate, "grad_norm": float(norm)}


def seed(number: int, device: torch.device) -> None:
    """As `torch.manual_seed`, for this device and the CPU alone.

    That one also notes the call stack, with its lines of source, for every kind of device that is not there, thrice a step.
    """
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(number)


def seed_of(seed: int, step: int) -> int:
    """32 well-mixed bits: torch's generator on CPUs takes no more of its seed."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def share_of_rate(step: int, steps: int, recipe: dict[str, Any]) -> float:
    """The learning rate of a 0-based step as a share of the highest: linear warm-up, then `cosine` to 0 or `wsd`.

    Cosine: arXiv 1608.03983. WSD, constant and then linear to 0 over the last `decay_share`: arXiv 2404.06395.
    """
    warmup: int = max(1, round(recipe["warmup_share"] * steps))
    if step < warmup:
        return (step + 1) / warmup
    if recipe["schedule"] == "cosine":
        return (1 + math.cos(math.pi * (step - warmup + 1) / (steps - warmup + 1))) / 2
    decay: int = max(1, round(recipe["decay_share"] * steps))
    return min(1.0, (steps - step) / decay)


def _cast(loss: Loss, device: torch.device) -> Loss:
    """The loss with matrix products in bfloat16, where those are fast."""

    def cast(model: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device)):
            return loss(model, batch)

    return cast


def optimizers_of(model: nn.Module, recipe: dict[str, Any], device: torch.device) -> Optimizers:
    """AdamW for all that requires a gradient; with `optimizer: muon`, Muon for the matrices between embedding and head.

    Muon's steps are scaled to AdamW's root mean square (arXiv 2502.16982), so that one learning rate serves both. Where
    torch has no Muon (before 2.9), AdamW takes all.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if recipe.get("optimizer") != "muon" or not hasattr(torch.optim, "Muon"):
        return [adamw(trained, recipe, device)]
    inner = [p for p in trained if p.ndim == 2 and not any(p is other for other in _table(model))]
    rest = [p for p in trained if not any(p is other for other in inner)]
    settings = {"lr": recipe["learning_rate"], "weight_decay": recipe["weight_decay"], "adjust_lr_fn": "match_rms_adamw"}
    return [torch.optim.Muon(inner, **settings), adamw(rest, recipe, device)]


def _table(model: nn.Module) -> list[Tensor]:
    """The weights of the word table and of the head."""
    heads = [p for name, p in model.named_parameters() if name.endswith("lm_head.weight")]
    return heads + [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]


def adamw(trained: list[nn.Parameter], recipe: dict[str, Any], device: torch.device) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101); matrices decay, biases and norms do not."""
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe["weight_decay"]},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=recipe["learning_rate"], betas=tuple(recipe["betas"]), fused=fused)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32. A rule and no measurement: a resume must agree with it.

    With AMX, and on AMD's AVX512-BF16 (Zen 5: 2.2 x), they are. Intel's AVX512-BF16 without AMX, as virtual machines show it,
    takes 1.9 x as long as float32 (Sapphire Rapids, 448 x 384 x 1536), and a CPU with neither emulates them, 8 x slower.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    has = {name: getattr(torch.cpu, f"_is_{name}_supported", lambda: False)() for name in ("avx512_bf16", "amx_tile")}
    return has["amx_tile"] or (has["avx512_bf16"] and "AuthenticAMD" in _cpu())


def _cpu() -> str:
    """What Linux says of the processor; empty elsewhere."""
    known = Path("/proc/cpuinfo")
    return known.read_text(encoding="utf-8", errors="replace")[:2000] if known.exists() else ""


@cache
def peak_flops(device: torch.device, side: int = 2048) -> float:
    """FLOP/s that a square matrix product reaches on this device, in the precision of training: what MFU is a share of."""
    kind = torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    with precision(device):
        a = torch.ones(side, side, dtype=kind, device=device)
        return max(2 * side**3 / _seconds(a, device) for _ in range(3))


def _seconds(a: Tensor, device: torch.device) -> float:
    start = time.monotonic()
    torch.mm(a, a)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic() - start


@contextmanager
def precision(device: torch.device) -> Iterator[None]:
    """float32 weights and sums; products in bfloat16 where that is fast (autocast), else float32 by the fastest kernel."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if device.type == "cpu" else "high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """What training changes: trained parameters and buffers. Frozen base weights are not copied into checkpoints."""
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    return trained | {f"buffer.{name}": b for name, b in model.named_buffers()}


def moments(model: nn.Module, optimizers: Optimizers) -> dict[str, Tensor]:
    """The optimizers' tensors, named `<parameter>/<moment>`."""
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
    states = [(p, values) for optimizer in optimizers for p, values in optimizer.state.items()]
    return {f"{names[p]}/{key}": value for p, values in states for key, value in values.items()}


def _resume(model: nn.Module, optimizers: Optimizers, job: Job, identity: str) -> State:
    """Put the newest checkpoint that verifies into `model` and `optimizer`; a fresh State if there is none."""
    saved = checkpoint.newest(job.checkpoints, identity) if job.checkpoints else None
    if saved is None:
        return State()
    with torch.no_grad():
        for name, tensor in weights(model).items():
            tensor.copy_(saved.weights[name])
    parameters = dict(model.named_parameters())
    state_of = {p: optimizer.state for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    for name, value in saved.moments.items():
        parameter, _, key = name.rpartition("/")
        p = parameters[parameter]
        state_of[p][p][key] = value if key == "step" else value.to(p.device)
    return State(**saved.state)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class _Clock:
    _cpu: float = field(default_factory=cpu_seconds)
    _wall: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)

    def cpu(self) -> float:
        return cpu_seconds() - self._cpu

    def wall(self) -> float:
        return time.monotonic() - self._wall

    def due(self, every_seconds: float) -> bool:
        """Whether so much time has gone since this last said yes."""
        if time.monotonic() - self._saved < every_seconds:
            return False
        self._saved = time.monotonic()
        return True


@contextmanager
def _stop_on_sigterm() -> Iterator[Stop]:
    """SIGTERM asks for a stop after the current step, so that no step is left half done. Only in the main thread."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(*_: object) -> None:
        stop.reason = "SIGTERM; run it again to continue"

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _metrics(path: Path | None, done: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that appends one JSON line. Lines of steps after `done`, which a kill undid, are dropped first."""
    if path is None:
        yield lambda _line: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= done]
    path.write_text("".join(kept), encoding="utf-8")
    with path.open("a", encoding="utf-8", buffering=1) as file:
        yield lambda line: print(
            json.dumps({k: float(f"{v:.6g}") for k, v in line.items()} | {"step": line["step"]}), file=file
        )


def _whole_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith("}\n")]
