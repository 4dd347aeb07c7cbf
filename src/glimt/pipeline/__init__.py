"""What users write, and what calls it: workers, reducers, parameters, results."""
