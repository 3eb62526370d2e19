"""What a run leaves in its folder: the files, their columns and types, written whole and read or named as damaged."""
