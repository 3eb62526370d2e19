"""An interruption is raised where it arrives, and again where what it was raised in made something else of it."""

import os
import signal
from contextlib import suppress

import pytest

from ltb.run import signals


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, signals.Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_that_other_code_swallowed_is_raised_again(number, kind):
    before = signal.getsignal(number)
    with signals.listening():
        signals.heed()  # nothing has arrived
        with suppress(Exception, kind):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt) as caught:
            signals.heed()
        assert caught.type is kind
    signals.heed()  # and is no part of what comes after
    assert signal.getsignal(number) is before


def test_who_listens_already_keeps_the_signal():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *given: heard.append(given[0]))
    try:
        with signals.listening():
            os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
