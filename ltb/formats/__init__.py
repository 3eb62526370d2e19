"""Formats of a pruned network's weights, and what they take in bytes: written, and read back to the same bits."""

from ltb.formats.compressed import BSR, CSC, CSR
from ltb.formats.coordinates import COO, Bitmask, Relative
from ltb.formats.file import SPARSE, read, write
from ltb.formats.format import Dense, Format, Parts, narrowest
from ltb.formats.huffman import RelativeHuffman
from ltb.formats.semi_structured import TwoOfFour

__all__ = [
    "BSR", "COO", "CSC", "CSR", "SPARSE", "Bitmask", "Dense", "Format", "Parts", "Relative", "RelativeHuffman", "TwoOfFour",
    "narrowest", "read", "write",
]  # fmt: skip
