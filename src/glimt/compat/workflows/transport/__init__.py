"""``workflows.transport``."""
