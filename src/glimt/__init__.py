"""Live processing of X-ray detector data: bytes become frames, frames become events, events become results."""
