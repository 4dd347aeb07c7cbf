"""``workflows.services``."""
