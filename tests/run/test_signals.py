"""An interruption is raised where it arrives, and again where what it was raised in made something else of it."""

import importlib
import os
import signal
import sys
import time
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


def test_an_interruption_waits_for_the_import_that_it_arrives_in(tmp_path, monkeypatch):
    """What was imported by half cannot be imported again: the report of what was interrupted needs it whole."""
    (tmp_path / "half.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.2)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def goes_on():
        importlib.import_module("half")
        time.sleep(signals.PATIENCE)

    with signals.listening(), pytest.raises(signals.Terminated):
        goes_on()
    assert sys.modules["half"].whole


def test_an_interruption_waits_for_the_finaliser_that_it_arrives_in():
    """Python prints what a finaliser raises and goes on as if nothing had been (pytest makes an error of that)."""

    class Ended:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
            ended.append(True)

    def goes_on():
        Ended()
        time.sleep(signals.PATIENCE)

    ended = []
    with signals.listening(), pytest.raises(signals.Terminated):
        goes_on()
    assert ended


def test_an_interruption_does_not_wait_for_ever(tmp_path, monkeypatch):
    (tmp_path / "study.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(signals, "PATIENCE", 0.2)
    with signals.listening(), pytest.raises(signals.Terminated):
        importlib.import_module("study")
