"""Executions beside the default, one a file; see `ltb.core.execution`."""

from ltb.execution.compact import Compact
from ltb.execution.edge_popup import EdgePopup

__all__ = ["Compact", "EdgePopup"]
