"""FLOPs, GPU-hours, failures, prices, scaling laws and plausibility, against published and hand-computed values."""

import pytest

from tasks import cost, plausible, scaling
from tasks.cost import Band, find_gpu, flops_per_token
from tasks.params import Hardware
from tasks.plausible import Run, implausible
from tasks.stage import UserError
from tasks.validate import bad_documents

A100, H100 = cost.gpus()["A100"], cost.gpus()["H100"]


def test_llama_7b_shape_needs_43_gigaflops_a_token() -> None:
    assert flops_per_token(6.7e9, 32, 4096, 2048) == 6 * 6.7e9 + 12 * 32 * 4096 * 2048 == 43_421_225_472


def test_causal_kernels_halve_attention_only() -> None:
    assert flops_per_token(1e9, 24, 2048, 2048, causal=True) == 6e9 + 6 * 24 * 2048 * 2048


def test_lora_saves_the_gradients_of_frozen_weights_and_no_attention() -> None:
    full, lora = flops_per_token(1e9, 24, 2048, 2048), flops_per_token(1e9, 24, 2048, 2048, trained=1e6)
    assert full - lora == pytest.approx(2 * (1e9 - 1e6))
    assert flops_per_token(1e9, trained=0) == pytest.approx(4e9)


def test_checkpointing_adds_one_forward() -> None:
    assert flops_per_token(1e9, 24, 2048, 2048, checkpointing=True) == pytest.approx(
        flops_per_token(1e9, 24, 2048, 2048) * 4 / 3
    )


def test_a_lora_with_checkpointing_saves_nothing_against_plain_full_fine_tuning() -> None:
    assert flops_per_token(1e9, trained=0, checkpointing=True) == flops_per_token(1e9)


@pytest.mark.parametrize(
    ("text", "name", "gib"),
    [
        ("8xH100(96GB)", "H100", 96),
        ("NVIDIA A100-SXM4-40GB", "A100", 40),
        ("a100_80gb", "A100", 80),
        ("2 x A100", "A100", 40),
        ("1x4090", "RTX4090", 24),
        ("1xA6000", "A6000", 48),
        ("NVIDIA H100 PCIe", "H100-PCIe", 80),
        ("NVIDIA L40S", "L40S", 48),
        ("DGX-GB300", "GB300", 279),
        ("TPU v3", "TPUv3", 32),
    ],
)
def test_gpus_are_found_however_they_are_spelled(text: str, name: str, gib: float) -> None:
    gpu = find_gpu(text)
    assert gpu is not None
    assert (gpu.name, gpu.gib) == (name, gib)


@pytest.mark.parametrize("text", ["", "H200/H800 mix", "48GB GPU", "quantum", "A1000", "8"])
def test_an_unknown_gpu_is_none_and_no_guess(text: str) -> None:
    assert find_gpu(text) is None


def test_larger_models_keep_a_gpu_busier_up_to_a_ceiling() -> None:
    assert cost.whole_run_mfu(0.1e9, A100) < cost.whole_run_mfu(7e9, A100) < cost.whole_run_mfu(1e15, A100) < 0.42
    assert cost.whole_run_mfu(7e9, A100) == pytest.approx(0.410 / (1 + (0.157 / 7) ** 0.5), rel=0.01)
    assert cost.whole_run_mfu(7e9, H100) == pytest.approx(0.264 / (1 + (0.285 / 7) ** 0.5), rel=0.01)


def test_llama_2_7b_took_the_hours_that_its_band_says() -> None:
    hours = cost.gpu_hours(6 * 6.738e9 * 2e12, 6.738e9, A100)
    assert hours.low90 < 184_320 < hours.high90


def test_the_405b_run_is_foretold_from_its_in_step_mfu() -> None:
    hours = cost.gpu_hours(6 * 405.85e9 * 15.6e12, 405.85e9, H100, in_step_mfu=0.41)
    assert hours.value == pytest.approx(30.84e6, rel=0.02)


def test_a_sibling_moves_the_estimate_three_quarters_of_its_own_deviation() -> None:
    usual = cost.whole_run_mfu(1e9, A100)
    assert cost.sibling_mfu(2e9, A100, 1e9, usual) == pytest.approx(cost.whole_run_mfu(2e9, A100))
    assert cost.sibling_mfu(2e9, A100, 1e9, 2 * usual) == pytest.approx(2**0.75 * cost.whole_run_mfu(2e9, A100))


def test_more_knowledge_narrows_the_band() -> None:
    alone = cost.gpu_hours(1e21, 1e9, A100)
    sibling = cost.gpu_hours(1e21, 1e9, A100, sibling=(2e9, 0.3))
    assert sibling.high90 / sibling.value < alone.high90 / alone.value == pytest.approx(1.76)


def test_measured_speed_loses_the_goodput() -> None:
    assert cost.hours_at_speed(3600 * 1000 * 0.85, 1000).value == pytest.approx(1)


def test_eight_gpus_for_three_days_mostly_run_through() -> None:
    assert cost.p_no_interruption(8, 3) == pytest.approx(0.9887833806648562)


def test_young_dalys_interval_for_1024_gpus_is_77_minutes() -> None:
    assert cost.checkpoint_interval_seconds(1024, 60) == pytest.approx(4641.39560816457)


def test_prices_are_dated_ranges_and_none_where_unknown() -> None:
    price = cost.price(H100)
    assert price is not None
    assert (price.low, price.high, price.last) == (1.99, 7.2, "2026-05")
    assert cost.price(cost.gpus()["TPUv4"]) is None


def test_cost_combines_the_spread_of_hours_and_of_prices() -> None:
    found = cost.cost_usd(Band(100, 50, 200), (1, 4))
    assert found.value == pytest.approx(200)
    assert 50 < found.low90 < 100 < 400 < found.high90 < 800


def test_at_the_break_even_price_both_ways_cost_the_same() -> None:
    price = cost.break_even_price(100, 500, 1000, 50)
    assert price == pytest.approx(0.5)
    assert 100 * 0.5 + 500 == 1000 * 0.5 + 50
    assert cost.break_even_price(100, 0, 1000, 50) is None
    assert cost.break_even_price(5, 0, 5, 50) is None


def test_energy_of_the_first_llama_is_inside_its_band() -> None:
    kwh = cost.energy_kwh(Band(82_432, 82_432, 82_432), A100)
    assert kwh.low90 < 36_000 < kwh.high90


# ---- scaling laws: published unit values -----------------------------------------------------------------------------


def test_laws_give_their_published_losses() -> None:
    assert scaling.loss(scaling.HOFFMANN, 70e9, 1.4e12) == pytest.approx(1.9366454705587173)
    assert scaling.loss(scaling.HOFFMANN, 1e9, 20e9) == pytest.approx(2.5800478722379934)
    assert scaling.loss(scaling.BESIROGLU, 70e9, 1.4e12) == pytest.approx(1.9738818631585637)
    assert scaling.loss(scaling.BESIROGLU, 1e9, 20e9) == pytest.approx(2.530050323678703)


def test_compute_optimal_sizes_are_the_published_ones() -> None:
    assert scaling.compute_optimal(scaling.BESIROGLU, 5.76e23) == pytest.approx((72248702500.38242, 1328743585388.151))
    assert scaling.compute_optimal(scaling.HOFFMANN, 1e20) == pytest.approx((644857508.9987315, 25845502974.052288))


@pytest.mark.parametrize(
    ("epochs", "worth"),
    [(1, 1), (2, 1.9681992237887165), (4, 3.725673123061326), (16, 10.582456982670752), (100, 16.36303530418565)],
)
def test_repeated_text_is_worth_ever_less(epochs: float, worth: float) -> None:
    assert scaling.effective_epochs(epochs) == pytest.approx(worth)


def test_text_carries_a_model_of_a_twentieth_of_its_worth() -> None:
    assert scaling.largest_carried(2e9, 1) == pytest.approx(1e8)
    assert scaling.data_ratio(2e9, 1e8) == pytest.approx(1)


def test_hernandez_gives_its_published_transfer() -> None:
    assert scaling.transferred_characters(1e7, 3e5) == pytest.approx(84068911.97782196)
    assert scaling.transferred_characters(1e9, 3e8) == pytest.approx(1677395319.2978406)


def test_many_requests_favour_a_smaller_model_trained_longer() -> None:
    idle, busy = (scaling.best_size_with_serving(scaling.BESIROGLU, 2.1, served) for served in (0, 1e13))
    assert idle is not None
    assert busy is not None
    assert busy[0] < idle[0]
    assert busy[1] > idle[1]
    assert scaling.best_size_with_serving(scaling.BESIROGLU, 1.8, 0) is None


# ---- plausibility ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "rule"),
    [
        (Run("A100", params=0.125e9, tokens=300e9, gpu_hours=190.8), "R1: needs 105% of the peak of A100: impossible"),
        (Run("A100-80GB-SXM", params=15e9, tokens=380e9, gpu_hours=38_214), "R1: needs 80%"),
        (Run("A100-80GB-SXM", params=15.5e9, tokens=70e9, gpu_hours=10_000), "R1: needs 58%"),
        (Run("H100", params=1e9, tokens=1e9, gpu_hours=1000), "R2"),
        (Run("H100", n_gpus=8, wall_days=1, gpu_hours=500), "R3"),
        (Run("A100", gpu_hours=10, cost_usd=1000), "R4"),
        (Run("RTX3090", gpu_hours=10, cost_usd=50), "R4"),
        (Run("A100", gpu_hours=1000, energy_mwh=2), "R5"),
        (Run("A100", params=7e9, tokens=1e12, gpu_hours=82_000, mfu_reported=0.3), "R6"),
    ],
)
def test_each_rule_names_what_is_implausible(run: Run, rule: str) -> None:
    assert any(line.startswith(rule) for line in implausible(run))


def test_llama_1_and_2_are_plausible_and_silence_needs_numbers() -> None:
    assert implausible(Run("A100-80GB-SXM", params=6.7e9, tokens=1e12, gpu_hours=82_432, energy_mwh=36)) == []
    assert implausible(Run("A100", params=6.738e9, tokens=2e12, gpu_hours=184_320)) == []
    assert implausible(Run("something")) == []


def test_the_known_contradictions_of_documents_are_seen() -> None:
    assert all(bad_documents().values())


def test_sound_documents_pass() -> None:
    assert not plausible.disagree(100, 104)
    assert not plausible.carbon_implausible(2040, 7.0e6, 700)
    assert not plausible.share_misprinted(148, 419, 0.353)
    assert not plausible.derived([1, 2, 3, 4], [1.1, 1.7, 3.4, 3.9])


def test_your_price_goes_before_the_shipped_one_and_both_are_dated() -> None:
    yours = Hardware(gpu="H100", usd_per_gpu_hour=(2.0, 3.0), prices_as_of="2026-10")
    assert cost.price_of_hour(yours) == cost.Price(2.0, 3.0, "2026-10", "2026-10", "params.yaml")
    shipped = cost.price_of_hour(Hardware(gpu="H100", usd_per_gpu_hour=None))
    assert (shipped.low, shipped.high, shipped.first, shipped.last) == (1.99, 7.2, "2026-03", "2026-05")
    assert cost.price_of_hour(Hardware(usd_per_gpu_hour=None)) == cost.MACHINE


def test_a_gpu_without_a_shipped_price_wants_yours() -> None:
    with pytest.raises(UserError, match=r"usd_per_gpu_hour is empty, and no price of hardware\.gpu = TPUv4 is shipped"):
        cost.price_of_hour(Hardware(gpu="TPUv4", usd_per_gpu_hour=None))
