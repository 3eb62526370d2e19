"""A run and a sweep: from a composed configuration to a finished folder, and what is seen meanwhile."""
