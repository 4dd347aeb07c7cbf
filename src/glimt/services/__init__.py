"""Message-driven steps of a recipe."""
