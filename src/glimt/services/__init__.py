"""Message-driven steps of a recipe. Their first issue is still open."""
