"""Alternating times: every call takes its turn, and what is longer takes longer."""

from ltb.measures.timing import Time, alternating


def test_calls_take_turns_and_each_round_begins_with_another():
    told, clock = [], [0.0]

    def call(name, seconds):
        def done():
            told.append(name)
            clock[0] += seconds

        return done

    found = alternating([call("a", 2**-10), call("b", 2**-7)], rounds=4, least=2**-9, clock=lambda: clock[0])
    assert [one.median for one in found] == [2**-10, 2**-7]
    turns = "".join(told[-2 * 4 - 4 :])
    assert turns == "aab" + "baa" + "aab" + "baa"  # two calls of a take the least time
    assert told[:-12].count("a") == 51  # warm: once, and for 25 times the least
    assert told[:-12].count("b") == 1 + 7


def test_an_interval_of_the_median_holds_it():
    assert Time.of([1.0]) == Time(1.0, 1.0, 1.0)
    found = Time.of([float(i) for i in range(101)])
    # Binomial(101, 1/2) has 95 % within 41 … 60: the order statistics from the 41st to the 61st.
    assert (found.median, found.low, found.high) == (50.0, 40.0, 60.0)
