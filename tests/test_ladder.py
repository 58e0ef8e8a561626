"""Which rows the pilots see."""

from tasks.documents import Document
from tasks.ladder import Ladder, ladder, subset


def rows(n: int, group_of: int = 1) -> list[Document]:
    return [Document(id=f"r{i}", text=f"text {i}", label="ab"[i % 2], group=f"g{i // group_of}") for i in range(n)]


def ids(documents: tuple[Document, ...]) -> set[str]:
    return {d.id for d in documents}


def test_smaller_subsets_lie_in_larger_ones_of_the_same_seed() -> None:
    pool = rows(500)
    assert ids(subset(pool, 50, 3)) < ids(subset(pool, 100, 3)) < ids(subset(pool, 400, 3))


def test_seeds_draw_different_rows() -> None:
    assert ids(subset(rows(500), 100, 0)) != ids(subset(rows(500), 100, 1))


def test_every_cell_is_measured_on_the_same_rows_and_never_trains_on_them() -> None:
    plan = ladder(rows(1000, group_of=3), [50, 100, 200, 400], 2)
    steps = plan.screen + plan.pilot + plan.whole
    groups = {d.group for d in steps[0].heldout}
    assert len({step.heldout for step in steps}) == 1
    assert not any(d.group in groups for step in steps for d in step.train)


def test_low_rungs_are_screened_and_high_ones_piloted() -> None:
    plan = ladder(rows(1000), [50, 100, 200, 400], 2)
    assert [step.n for step in plan.screen] == [50, 50, 100, 100]
    assert [step.n for step in plan.pilot] == [200, 200, 400, 400]


def test_one_more_row_changes_only_the_subsets_that_hold_it() -> None:
    before = ladder(rows(1000), [50, 100, 200, 400], 4)
    after = ladder([*rows(1000), Document("new", "new text", "a", "new")], [50, 100, 200, 400], 4)
    pairs = list(zip(before.screen + before.pilot, after.screen + after.pilot, strict=True))
    assert all((old == new) == ("new" not in ids(new.train)) for old, new in pairs if old.heldout == new.heldout)
    assert sum(old == new for old, new in pairs) >= 12


def test_the_order_of_the_rows_does_not_matter() -> None:
    def drawn(plan: Ladder) -> list[set[str]]:
        return [ids(step.train) for step in plan.screen + plan.pilot]

    assert drawn(ladder(rows(600), [50, 100, 200], 2)) == drawn(ladder(rows(600)[::-1], [50, 100, 200], 2))


def test_few_rows_are_cross_validated_and_every_row_is_held_out_once() -> None:
    plan = ladder(rows(240), [120, 240, 480, 960], 2)
    assert (plan.regime, len(plan.screen), plan.pilot, plan.whole) == ("cross-validation", 5, [], [])
    held = [d.id for step in plan.screen for d in step.heldout]
    assert sorted(held) == sorted(d.id for d in rows(240))
    assert all(not ids(step.train) & ids(step.heldout) for step in plan.screen)
