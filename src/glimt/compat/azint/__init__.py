"""`azint`, MAX IV's azimuthal integration, by the names that analysis code imports; the numbers come from glimt.

Facts about the interface are from azint (MIT licence, https://github.com/maxiv-science/azint); no code is.
"""

from glimt.compat.azint import detector
from glimt.compat.azint.azint import AzimuthalIntegrator, AzintError, Poni
from glimt.compat.azint.unpacking import IntegrationResult

__version__ = "1.2+glimt"

__all__ = ["AzimuthalIntegrator", "AzintError", "IntegrationResult", "Poni", "detector"]
