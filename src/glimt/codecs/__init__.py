"""Bytes to records and back: one file a wire protocol or format."""
