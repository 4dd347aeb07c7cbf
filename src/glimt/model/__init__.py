"""What things are: events, frames, parameters, geometry, errors."""
