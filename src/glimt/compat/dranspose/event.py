"""``dranspose.event``."""

from glimt.model.event import EventData, InternalWorkerMessage, ResultData, StreamData

__all__ = ["EventData", "InternalWorkerMessage", "ResultData", "StreamData"]
