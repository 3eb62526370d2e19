"""The width of a student: the largest whose network is within the budget, and a configuration as if it had been typed."""

import copy
from functools import cache

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ltb.run import settings as run_settings
from ltb.run import widths
from ltb.run.compose import check
from ltb.run.conf import conf
from ltb.run.students import EqualBytes, EqualFlops
from ltb.run.widths import largest, scaled, settled

SMALL = (
    "data=noise", "data.shape=[40]", "data.size=20", "data.val_size=10", "data.test_size=10", "protocol.batch_size=4",
    "training.length=4it", "protocol.rewind_step=1it", "logger=none",
)  # fmt: skip
KINDS = {"equal_bytes": EqualBytes, "equal_flops": EqualFlops}


@cache
def composed(*overrides):
    with initialize_config_dir(conf(), version_base="1.3"):
        return compose("train", [*SMALL, *overrides])


def with_settings(config, **given):
    """A composed configuration with more settings, by their paths with __ for a dot."""
    other = copy.deepcopy(config)
    for key, value in given.items():
        OmegaConf.update(other, key.replace("__", "."), value, merge=False)
    return other


def found(*overrides, **given):
    config = with_settings(composed(*overrides), **given)
    return settled(config, run_settings.resolve(config))


def typed(*overrides, **given):
    return check(run_settings.resolve(with_settings(composed(*overrides), **given)))


WIDTHS = st.one_of(st.integers(1, 2000), st.lists(st.integers(1, 2000), min_size=1, max_size=5))


@given(WIDTHS, st.data())
def test_layers_keep_their_proportions(width, data):
    listed = [width] if isinstance(width, int) else width
    widest, multiple = data.draw(st.integers(1, max(listed))), data.draw(st.integers(1, 20))
    narrow = scaled(width, widest)
    in_units = scaled(width, widest, multiple)
    assert in_units == ([multiple * one for one in narrow] if isinstance(narrow, list) else multiple * narrow)
    assert isinstance(narrow, int) == isinstance(width, int)
    made = [narrow] if isinstance(narrow, int) else narrow
    assert max(made) == widest
    for one, before in zip(made, listed, strict=True):
        exact = before * widest / max(listed)
        assert one >= 1
        assert one == 1 or abs(one - exact) <= 0.5
    wider = scaled(width, widest + 1)
    assert all(a <= b for a, b in zip(made, [wider] if isinstance(wider, int) else wider, strict=True))
    assert scaled(width, max(listed)) == width


@given(st.integers(0, 500), st.integers(1, 400))
def test_the_largest_that_fits(limit, most):
    assert largest(lambda n: n <= limit, most) == min(limit, most)


@given(st.sets(st.integers(1, 60)), st.integers(1, 60))
def test_also_where_sizes_do_not_grow_it_fits_and_the_next_does_not(fitting, most):
    one = largest(lambda n: n in fitting, most)
    assert one == 0 or one in fitting
    assert one == most or one + 1 not in fitting


# Models, the argument that is the width, and the settings of their shape.
MODELS = {
    "mlp": ("widths", []),
    "lenet_300_100": ("widths", []),
    "conv4": ("width", ["data.shape=[3,4,4]", "model.width=16"]),
    "vgg11": ("width", ["data.shape=[1,16,16]", "model.width=16"]),
    "resnet20": ("width", ["data.shape=[3,4,4]", "model.width=12"]),
}


QUICK = ("mlp", "conv4")


@pytest.mark.parametrize("model", [pytest.param(one, marks=[pytest.mark.slow] * (one not in QUICK)) for one in MODELS])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=2, deadline=None)
@given(density=st.floats(0.05, 1))
def test_it_is_within_the_budget_and_the_next_wider_is_not(kind, model, density):
    argument, shape = MODELS[model]
    task = (f"model={model}", "allocation=global", *shape)
    own = typed(*task)["model"][argument]
    config, said = found(*task, f"student={kind}", "student.density=1", student__density=density)
    narrow = config["model"][argument]
    student = KINDS[kind](density=density)

    def bench(width):
        return widths._training(typed(*task, **{f"model__{argument}": width}))

    budget, _ = student.budget(bench(own))
    assert student.size(bench(narrow)) <= budget
    widest = max(narrow) if isinstance(narrow, list) else narrow
    if narrow != own:
        assert student.size(bench(scaled(own, widest + 1))) > budget
    assert said.startswith(f"student: model.{argument}={narrow}, {student.size(bench(narrow)):,.0f} of at most ")
    assert config == typed(*task, **{f"model__{argument}": narrow})


def test_at_density_1_it_is_the_network_itself():
    for kind in KINDS:
        assert found(f"student={kind}", "student.density=1")[0] == typed()


def test_it_is_not_wider_than_the_network_where_a_format_takes_more_than_dense():
    assert found("student=equal_bytes", "student.density=0.9", "student.format=coo64")[0] == typed()


def test_widths_are_multiples():
    config, _ = found(
        "student=equal_bytes",
        "student.density=0.3",
        "student.multiple=8",
        "model.widths=[64,40,3]",
        "allocation=global",
    )
    assert all(one % 8 == 0 for one in config["model"]["widths"])
    assert found("student=equal_flops", "student.density=1", "student.multiple=8")[0] == typed()


def test_what_takes_the_width_from_the_model_has_the_found_one():
    """The configuration is resolved again: the module's copy of the model, and what else names its width."""
    config, _ = found(
        "student=equal_bytes", "student.density=0.1", "model.widths=[20]", "study='${model.widths[0]} wide'"
    )
    assert config["module"]["network"] == config["model"]
    assert config["model"]["widths"] < [20]
    assert config["study"] == f"{config['model']['widths'][0]} wide"


def test_without_a_student_nothing_changes():
    config = run_settings.resolve(composed())
    assert settled(composed(), config) == (config, "")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=resnet18", "data.shape=[3,8,8]"],
         r"^student.argument=null: TorchvisionResNet has neither of width and widths; the argument that is its width: shape, "),
        (["student.argument=widhts"], r"^student.argument='widhts': MLP has no such argument; the nearest is widths$"),
        (["student.argument=initialiser"], r"^student.argument='initialiser': a whole number or a list of them, 1 or more; model"),
        (["model.widths=[]"], r"^student.argument='widths': a whole number or a list of them, 1 or more; model.widths=\[\]$"),
        (["student.density=1e-3", "model.widths=[4,4]"],
         r"^student.density=0.001: the narrowest network, model.widths=\[1, 1\], takes 252 bytes, and the "),
        (["student.multiple=257"], r"^student.multiple=257: up to 256, as model.widths=\[256, 256\]$"),
        (["student.format=zip"], r"^student.format='zip': null \(the smallest\) or one of dense,"),
        (["model.initialiser.gain=3"], r"^model.initialiser.gain=3: GlorotNormal has no such setting"),
        (["data.size=0"], r"^data.size=0: "),
    ],
)  # fmt: skip
def test_what_cannot_be_found_is_one_line(overrides, said):
    given = overrides if any("density" in one for one in overrides) else ["student.density=0.1", *overrides]
    own = [f"+{one}" if "gain" in one else one for one in given]
    with pytest.raises(ValueError, match=said) as caught:
        found("student=equal_bytes", *own)
    assert "\n" not in str(caught.value)
