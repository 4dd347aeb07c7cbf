"""A live run: put together from a beamline file, steered, and described."""
