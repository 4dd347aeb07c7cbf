"""The names of dranspose 0.2 that analyses import."""
