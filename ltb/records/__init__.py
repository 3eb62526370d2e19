"""The files in a run's folder, their columns and types: written whole, and read or named as damaged."""
