"""Importing the packages is cheap: what only some datasets or models need is imported when they are made."""

import subprocess
import sys

import pytest

HEAVY = ("torchvision", "sklearn", "scipy", "mnist1d", "matplotlib", "PIL", "pytorch_lightning")


@pytest.mark.slow
def test_importing_data_and_models_imports_nothing_heavy_but_torch():
    program = f"import sys, ltb.data, ltb.models; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
