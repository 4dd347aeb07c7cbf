"""Names of ``dranspose.helpers``."""
