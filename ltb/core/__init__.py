"""The mathematics of the loop: pure functions and frozen values on torch tensors. Imports torch and the standard library only."""
