from hypothesis import given
from hypothesis import strategies as st

from ltb.training.loaders import cut


@given(st.integers(0, 50), st.integers(1, 80), st.integers(1, 30), st.integers(1, 12), st.lists(st.integers(0, 130)))
def test_chunks_cover_the_fit_and_end_wherever_it_must_look(start, length, every, largest, marks):
    stop = start + length
    sizes, between = cut(start, stop, every, largest, marks)
    assert sum(sizes) == length
    assert max(sizes) <= largest
    assert len(sizes) % between == 0
    ends = [start + sum(sizes[: index + 1]) for index in range(len(sizes))]
    evaluated = ends[between - 1 :: between]
    assert evaluated == [step for step in range(start + 1, stop + 1) if step % every == 0 or step == stop]
    assert all(mark in ends for mark in marks if start < mark < stop)
