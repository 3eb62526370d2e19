"""What a pruned network's weights take in bytes, format by format: written, and read back to the same bits."""

from ltb.export.compressed import BSR, CSC, CSR
from ltb.export.coordinates import COO, Bitmask, Relative
from ltb.export.format import Dense, Format, Parts, matrix, narrowest

__all__ = ["BSR", "COO", "CSC", "CSR", "Bitmask", "Dense", "Format", "Parts", "Relative", "matrix", "narrowest"]
