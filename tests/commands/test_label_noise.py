"""``label_noise.rate=`` from the command to the ledger."""

from ltb.records import identity
from tests.commands.test_plugin import OWN, REGRESSION
from tests.support.command import TINY, ledger

SHORT = [one for one in TINY if not one.startswith("schedule.")] + ["schedule.levels=1", "measure=generalisation_gap"]


def test_none_leaves_keys_as_they_are_and_some_is_another_network(command):
    plain, none, some = (
        command.done(*SHORT, *given)
        for given in ([], ["label_noise=null"], ["label_noise.rate=0.4", "label_noise.seed=1"])
    )
    assert plain.name == none.name != some.name
    before, after = ledger(plain), ledger(some)
    assert not {row["stage"] for row in before} & {row["stage"] for row in after}
    assert [row["test/accuracy"] for row in before] != [row["test/accuracy"] for row in after]
    told = [{k: v for k, v in identity.read(run).items() if k.startswith("label_noise")} for run in (plain, some)]
    assert told == [{}, {"label_noise.rate": 0.4, "label_noise.seed": 1}]


def test_a_datamodule_of_ones_own_has_labels_that_are_not_known(command):
    result = command("--config-dir", str(OWN), "+experiment=imp", *REGRESSION, "logger=none", "label_noise.rate=0.4")
    assert (result.code, result.out) == (2, "")
    assert "label_noise.rate=0.4: 0 for data=Sine" in result.line
    assert not command.runs.exists()
