"""Where messages enter."""
