"""HTTP: the live view."""
