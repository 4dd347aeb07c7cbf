"""The commands, one file each."""

from glimt.cli.main import main

__all__ = ["main"]
