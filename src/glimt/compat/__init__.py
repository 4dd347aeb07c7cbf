"""Other people's import names, resolved to glimt's own classes."""
