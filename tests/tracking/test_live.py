"""Training curves reach W&B while a level is trained, each row once, and those of no level of the run never."""

from ltb.core.chain import stages
from ltb.core.controls import Shuffle
from ltb.core.loop import levels
from ltb.core.recipe import Recipe
from ltb.core.results import Trained
from ltb.core.schedules import Geometric
from ltb.tracking.live import Live
from tests.core.toy import Toy


class Mirror:
    def __init__(self):
        self.calls = []

    def begin_level(self, level, start):
        self.calls.append(("level", level, start))

    def history(self, row):
        self.calls.append(("row", row["step"]))


class Evaluated(Toy):
    """A toy whose fits are evaluated twice."""

    def fit(self, fit, *, listener=None, evaluate=True, **given):
        trained = super().fit(fit, **given)
        listener.on_fit(fit.origin.step, fit.stop)
        rows = [{"step": fit.stop - back, "val/loss": back} for back in (1, 0)] if evaluate else []
        for row in rows:
            listener.on_row(row)
        return Trained(trained.masks, trained.origin, trained.point, rows, snapshots=trained.snapshots)


def sent(recipe, listening=True):
    toy, mirror = Evaluated(), Mirror()
    live = Live(mirror, stages(recipe, toy.clock))  # stages that are equal to those of the loop, not the same objects
    before = []
    for level in levels(recipe, toy, listener=live if listening else Live(Mirror(), ())):
        before.append(len(mirror.calls))
        live.finished(level)
    return before, mirror.calls


def test_rows_are_sent_as_they_come_and_each_once():
    recipe = Recipe(schedule=Geometric(0.3, 2), rewind_step="4it")
    before, calls = sent(recipe)
    rows = [("row", 19), ("row", 20)]
    assert calls == [("level", 0, 0), *rows, ("level", 1, 4), *rows, ("level", 2, 4), *rows]
    assert before == [3, 6, 9]  # all of them before their level was finished
    assert sent(recipe, listening=False) == ([0, 3, 6], calls)  # and what was found is sent then


def test_the_chain_of_a_control_is_not_shown():
    _, calls = sent(Recipe(schedule=Geometric(0.3, 2), control=Shuffle()))
    assert [call[1] for call in calls if call[0] == "level"] == [0, 1, 2]
    assert sum(call[0] == "row" for call in calls) == 6
