"""What every run imports, imported once before processes are forked; no thread is started here."""

import hydra
import mnist1d.data
import pytorch_lightning
import torch

import ltb.report.command
import ltb.run.run
import ltb.run.sweep
import ltb.train

torch.set_num_threads(1)
__all__ = ["hydra", "ltb", "mnist1d", "pytorch_lightning", "torch"]
