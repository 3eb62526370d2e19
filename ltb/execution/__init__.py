"""Executions beside the default, one a file; see `ltb.core.execution`."""

from ltb.execution.bernoulli import Bernoulli
from ltb.execution.compact import Compact
from ltb.execution.edge_popup import EdgePopup
from ltb.execution.frozen import Frozen

__all__ = ["Bernoulli", "Compact", "EdgePopup", "Frozen"]
