"""Fakes and the contract suites that every implementation must pass."""
