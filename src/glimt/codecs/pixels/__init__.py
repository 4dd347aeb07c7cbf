"""Compressed pixels to arrays and back."""

from glimt.codecs.pixels.decode import decode_pixels
from glimt.codecs.pixels.encode import encode_pixels

__all__ = ["decode_pixels", "encode_pixels"]
