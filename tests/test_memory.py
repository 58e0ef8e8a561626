"""Peak memory against published peaks, its refusals, and the margin of `fits`."""

import pytest

from tasks.memory import GB, GIB, Recipe, find_shape, fits, peak, shapes
from tasks.published_peaks import MemoryCase, memory_case
from tasks.shape import Shape

LLAMA_8B = shapes()["llama-3-8b"]


def gib(shape: Shape, recipe: Recipe) -> float:
    found = peak(shape, recipe).gib
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("model", "recipe", "gigabytes"),
    [
        ("phi-1.5", Recipe(1044, "lora", trained=1.6e6), 4.82),
        ("llama-2-7b", Recipe(1304, "lora", trained=4.2e6), 21.3),
        ("llama-2-13b", Recipe(1304, "lora", trained=6.6e6, quantised="nf4", dequantise_buffer=True), 23.14),
        ("llama-2-7b", Recipe(1304, "adapter", trained=1.2e6), 19.98),
        ("bloom-7b1", Recipe(512, "lora", weight_bytes=4, logits="hf_fp32"), 32.0),
    ],
)
def test_published_peaks_are_foretold_to_a_tenth(model: str, recipe: Recipe, gigabytes: float) -> None:
    assert gib(shapes()[model], recipe) * GIB / GB == pytest.approx(gigabytes, rel=0.1)


@pytest.mark.parametrize(
    ("saving", "gigabytes"),
    [
        ({}, 60.0),
        ({"compiled": True}, 51.0),
        ({"compiled": True, "logits": "chunked"}, 42.9),
        ({"compiled": True, "logits": "chunked", "checkpointing": "full"}, 24.9),
    ],
)
def test_one_saving_after_another_lowers_the_peak_as_torchtune_measured(saving: dict[str, object], gigabytes: float) -> None:
    recipe = Recipe(8192, **saving)  # type: ignore[arg-type]
    assert gib(shapes()["llama-3-3b"], recipe) == pytest.approx(gigabytes, rel=0.06)


def test_full_fine_tuning_needs_more_than_lora_and_lora_more_than_qlora() -> None:
    full, lora = Recipe(2048), Recipe(2048, "lora", trained=1e7)
    qlora = Recipe(2048, "lora", trained=1e7, quantised="nf4")
    assert gib(LLAMA_8B, full) > gib(LLAMA_8B, lora) > gib(LLAMA_8B, qlora)


def test_shards_divide_weights_and_optimizer() -> None:
    one, eight = gib(LLAMA_8B, Recipe(2048)), gib(LLAMA_8B, Recipe(2048, shards=8))
    assert one > 2 * eight


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        (Recipe(2048, tensor_parallel=2), "tensor and pipeline"),
        (Recipe(2048, pipeline_parallel=4), "tensor and pipeline"),
        (Recipe(0), "tokens"),
        (Recipe(float("nan")), "tokens"),
    ],
)
def test_outside_its_validity_the_formula_refuses(recipe: Recipe, why: str) -> None:
    found = peak(LLAMA_8B, recipe)
    assert found.gib is None
    assert why in (found.reason or "")


def test_a_shape_smaller_than_its_embedding_is_refused() -> None:
    assert peak(Shape(1e6, 2, 1024, 4096, 1024, 50_000), Recipe(128)).gib is None


def test_fits_keeps_a_tenth_and_a_gibibyte_free_and_more_for_unmeasured_code() -> None:
    assert fits(20, 23)
    assert not fits(20.1, 23)
    assert not fits(20, 23, calibrated=False)
    assert fits(20, 27.4, calibrated=False)


def test_models_are_found_by_the_names_people_write() -> None:
    assert find_shape("Llama 3.1 8B", 8.03e9) == LLAMA_8B
    assert find_shape("Llama 2", 13e9) == shapes()["llama-2-13b"]
    assert find_shape("Mistral-7B") == shapes()["mistral-7b"]
    assert find_shape("SD-v1-4", 1.07e9) is None
    assert find_shape("Llama 2", 1e9) is None
    assert find_shape("") is None


def test_parameter_counts_of_the_shipped_shapes_add_up() -> None:
    for name, shape in shapes().items():
        if name in {"t0-3b", "mt0-xxl", "gemma-7b"}:  # decoders that also look at an encoder; heads wider than the layer
            continue
        layer = 2 * shape.width * (shape.width + shape.kv) + (3 if shape.glu else 2) * shape.width * shape.mlp
        assert layer == pytest.approx(shape.block, rel=0.03), name


def test_out_of_memory_runs_do_not_fit() -> None:
    row = {"source": "peft README (A100-80)", "model": "bloomz-7b1", "params_b": "7", "n_gpu": "1xA100-80", "method": "full"}
    case = memory_case(row)
    assert isinstance(case, MemoryCase)
    assert case.gpu is not None
    assert not fits(gib(case.shape, case.recipe), case.gpu.gib)


def test_offload_and_parallel_rows_are_refused_with_a_reason() -> None:
    row = {"source": "torchtitan", "model": "Llama 3.1 70B", "params_b": "70.6", "n_gpu": "256xH100"}
    assert "outside the formula" in str(memory_case({**row, "method": "pretrain FSDP+TP 2"}))
    assert "DeepSpeed" in str(memory_case({**row, "method": "LoRA+DS offload"}))
