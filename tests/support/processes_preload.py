"""What every run imports, imported once before processes are forked; no thread is started here."""

import hydra
import ltb.sweep
import mnist1d.data
import pytorch_lightning
import torch

import ltb.report
import ltb.run
import ltb.train

torch.set_num_threads(1)
__all__ = ["hydra", "ltb", "mnist1d", "pytorch_lightning", "torch"]
