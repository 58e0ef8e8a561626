"""Text and budget against what training from scratch wants, with values that the published laws give."""

from __future__ import annotations

import pytest

from tasks import cost, scaling
from tasks.feasibility import affordable_flops, feasibility, served_tokens, unique_tokens
from tasks.records import Candidate, Candidates

H100 = cost.gpus()["H100"]


def test_the_law_of_repeated_text_is_the_plain_one_where_nothing_repeats() -> None:
    plain = scaling.loss(scaling.MUENNIGHOFF, 1e9, 20e9)
    assert scaling.loss_on_repeated(1e9, 20e9, 100e9) == pytest.approx(plain)
    assert scaling.loss_on_repeated(1e9, 20e9, 5e9) > plain


def test_four_epochs_are_nearly_as_good_as_new_text_and_forty_are_not() -> None:
    new, four, forty = (scaling.loss_on_repeated(1e9, 20e9, 20e9 / epochs) for epochs in (1, 4, 40))
    assert four - new < 0.04
    assert forty - new > 0.2


def test_little_text_wants_a_smaller_model_read_more_often() -> None:
    much, little = scaling.best_size_for_text(1e20, 1e12), scaling.best_size_for_text(1e20, 1e9)
    assert little[0] < much[0]
    assert little[1] / 1e9 > 10
    assert much[1] / much[0] == pytest.approx(19.6, rel=0.05)


def test_text_for_twenty_tokens_a_parameter_favours_scratch_and_a_tiny_one_transfer() -> None:
    assert feasibility(20e6, 1e6, 1).favours == "scratch"
    assert feasibility(2e6, 1e6, 1).favours == "measure"
    assert feasibility(0.9e6, 1e6, 1).favours == "transfer"


def test_without_a_budget_nothing_is_said_to_be_affordable() -> None:
    found = feasibility(1e6, 1e6, 10)
    assert (found.affordable, found.enough_text, found.for_serving) == (None, None, None)
    assert found.planned.epochs == pytest.approx(10)
    assert found.planned.effective_epochs == pytest.approx(scaling.effective_epochs(10))


def test_a_budget_beyond_the_text_is_said_to_be_so() -> None:
    found = feasibility(1e8, 4e6, 10, budget_flops=1e20)
    assert found.affordable is not None
    assert found.on_this_text is not None
    assert found.affordable.params == pytest.approx(853477265.943308)
    assert found.enough_text is False
    assert found.on_this_text.params < found.affordable.params
    assert any("The budget affords 853 million parameters on 19.5 billion tokens" in line for line in found.remarks)
    assert feasibility(1e12, 4e6, 1, budget_flops=1e20).enough_text is True


def test_requests_make_the_best_model_smaller_and_longer_trained() -> None:
    found = feasibility(1e12, 4e6, 1, budget_flops=1e20, served_tokens=served_tokens(1e6, 1000))
    assert found.for_serving is not None
    assert found.affordable is not None
    assert served_tokens(1e6, 1000) == 24e9
    assert found.for_serving.params < found.affordable.params
    assert found.for_serving.tokens > found.affordable.tokens


def test_sizes_outside_the_laws_are_named() -> None:
    assert "10 million to 9 billion" in feasibility(1e6, 1e6, 1).remarks[0]
    assert "the model that would be trained (1 million parameters)" in feasibility(1e6, 1e6, 1).remarks[0]
    assert feasibility(1e10, 1e8, 1).remarks == []


def test_money_and_time_buy_flops_and_the_scarcer_one_binds() -> None:
    money = affordable_flops(H100, 8, 3.0, 300.0, None)
    both = affordable_flops(H100, 8, 3.0, 300.0, 1.0)
    assert money is not None
    assert both is not None
    size, _ = scaling.compute_optimal(scaling.BESIROGLU, money)
    assert money == pytest.approx(100 * 3600 * 989.4e12 * cost.whole_run_mfu(size, H100), rel=1e-6)
    assert both < money
    assert affordable_flops(H100, 8, 3.0, None, None) is None


def test_unique_tokens_come_from_the_vocabulary_that_suits_the_text_best() -> None:
    about = {"sha256": "0", "licence": "mit", "source": "-", "parameters": 1, "bytes": 1, "max_tokens": 512}
    known = [Candidate(name=str(f), fertility=f, **about) for f in (1.4, 1.2, None)]
    assert unique_tokens(1000, Candidates(candidates=known)) == pytest.approx(1200)
    assert unique_tokens(1000, Candidates(candidates=[])) == pytest.approx(1300)
