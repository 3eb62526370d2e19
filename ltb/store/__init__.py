"""The stage store: every finished stage in a folder named by its key, found again, checked, shared and freed."""
