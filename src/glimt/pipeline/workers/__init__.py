"""Ready-made workers: name one on the command line or in a beamline file, write none yourself."""

from glimt.pipeline.workers.azimuthal import AzimuthalWorker
from glimt.pipeline.workers.collecting import CollectingReducer
from glimt.pipeline.workers.hits import HitFinderWorker
from glimt.pipeline.workers.per_image_analysis import PerImageAnalysisWorker
from glimt.pipeline.workers.regions import RegionsWorker

__all__ = ["AzimuthalWorker", "CollectingReducer", "HitFinderWorker", "PerImageAnalysisWorker", "RegionsWorker"]
