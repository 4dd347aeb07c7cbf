"""Compressed pixels to arrays and back."""

from glimt.codecs.pixels.pixels import decode_pixels, encode_pixels

__all__ = ["decode_pixels", "encode_pixels"]
