"""Names to objects: the only room that sees all others, and where a command's words become a running pipeline."""
