"""Results at rest."""

from glimt.stores.hdf5 import Hdf5Store
from glimt.stores.hdf5_crash import repair_after_crash

__all__ = ["Hdf5Store", "repair_after_crash"]
