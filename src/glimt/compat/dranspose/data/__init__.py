"""The message types of dranspose, one module a protocol."""
