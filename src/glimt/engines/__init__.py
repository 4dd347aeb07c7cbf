"""How a pipeline runs: in this process, or in several."""
