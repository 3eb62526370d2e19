"""Structures: which weights make up a unit, one way of finding out a file; see `ltb.core.units`."""

from ltb.structure.dependency_graph import DependencyGraph

__all__ = ["DependencyGraph"]
