"""Executions beside the default, one a file; see `ltb.core.execution`."""

from ltb.execution.bernoulli import Bernoulli
from ltb.execution.compact import Compact
from ltb.execution.edge_popup import EdgePopup
from ltb.execution.frozen import Frozen
from ltb.execution.integers import Int4, Int8
from ltb.execution.shared import Shared

__all__ = ["Bernoulli", "Compact", "EdgePopup", "Frozen", "Int4", "Int8", "Shared"]
