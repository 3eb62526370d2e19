import pytest

from ltb.common.step import Clock, Step


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500it", Step(500)), (" 2 ep ", Step(2, "ep")), ("0", Step(0)), (0, Step(0)), (Step(3), Step(3))],
)
def test_steps_are_read(text, expected):
    assert Step.parse(text) == expected
    assert Step.parse(str(expected)) == expected


@pytest.mark.parametrize("text", ["500", 500, "5 epochs", "-1it", "1.5ep", "", None, True, "it", 0.5])
def test_what_is_no_step_is_refused(text):
    with pytest.raises(ValueError, match="is not a step; write iterations as '500it' or epochs as '2ep'"):
        Step.parse(text)


def test_steps_of_one_unit_are_ordered_and_a_clock_orders_the_rest():
    assert Step(3) < Step(20)
    assert Step(0) < Step(1, "ep")
    assert Step(0, "ep") == Step(0)
    assert Step(2, "ep") >= Step(2, "ep")
    with pytest.raises(ValueError, match="2ep and 500it have different units"):
        sorted([Step(500), Step(2, "ep")])
    clock = Clock.of(100, "10ep")
    assert (clock.length, clock.at("2ep"), clock.at("7it"), clock.epoch(199)) == (1000, 200, 7, 1)


@pytest.mark.parametrize(("count", "unit"), [(-1, "it"), (1.5, "it"), (True, "it"), (1, "s")])
def test_a_step_is_a_whole_number_of_a_known_unit(count, unit):
    with pytest.raises(ValueError, match="a step"):
        Step(count, unit)


def test_a_run_has_at_least_one_iteration():
    with pytest.raises(ValueError, match="length must be at least 1 iteration, not 0"):
        Clock.of(100, "0ep")


def test_what_nobody_waits_for_is_refused():
    assert Clock(10, 100).at("100000000it") == 10**8
    for step in ("100000001it", "99999999999it", "10000001ep"):
        with pytest.raises(ValueError, match="100,000,000 are the most"):
            Clock(10, 100).at(step)
