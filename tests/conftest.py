"""One thread a test process (two on a busy core are far slower), and hypothesis without a deadline on noisy machines."""

import signal

import pytest
import torch
from hypothesis import Phase, settings

torch.set_num_threads(1)
# A shell's background job, and what it starts, has Ctrl-C ignored; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("ltb", deadline=None, phases=[Phase.explicit, Phase.generate, Phase.shrink], max_examples=40)
settings.load_profile("ltb")


@pytest.fixture
def command(tmp_path, capsys, monkeypatch):
    """``ltb-train`` in an empty folder; `tests/support/command.py` says what it can do. Figures are not drawn."""
    # Imported here: most tests need neither Hydra nor Lightning.
    from tests.support.command import Command, blank_figures

    monkeypatch.setenv("LTB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    blank_figures(monkeypatch.setattr)
    return Command(tmp_path, capsys, monkeypatch)


@pytest.fixture
def write_run():
    """Writes a run's folder as ltb.train leaves it; see `tests/support/ledgers.py`."""
    from tests.support import ledgers

    return ledgers.write_run


@pytest.fixture
def row():
    """A row of a ledger; see `tests/support/ledgers.py`."""
    from tests.support import ledgers

    return ledgers.row
