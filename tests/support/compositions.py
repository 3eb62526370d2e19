"""What Hydra composes from the same settings, composed once: of a command that is started by the dozen it is the larger part."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.types import RunMode


def keep(folder: Path) -> None:
    """From now on this process finds in `folder` what it, or another one, has composed from the same settings in the same place."""
    folder.mkdir(exist_ok=True)
    load = ConfigLoaderImpl.load_configuration

    def load_configuration(
        self: ConfigLoaderImpl, config_name: str, overrides: list[str], run_mode: RunMode, **given: Any
    ) -> Any:
        asked = repr((config_name, overrides, run_mode, given, os.getcwd()))
        path = folder / hashlib.sha256(asked.encode()).hexdigest()
        if not path.exists():
            content = pickle.dumps(load(self, config_name, overrides, run_mode, **given))
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_bytes(content)
            temporary.replace(path)
        return pickle.loads(path.read_bytes())

    def get_mode(self: Hydra, config_name: str, overrides: list[str]) -> None:
        """Return that none is set: Hydra composes everything to learn it, and the flag -m decides."""

    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign,assignment]
    Hydra.get_mode = get_mode  # type: ignore[method-assign]
