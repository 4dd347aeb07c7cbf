"""The queues, topics and exchanges of a Zocalo site, as Diamond has them, and those that glimt's recipes use.

From ``contrib/rabbitmq-configuration.yaml`` of python-zocalo (BSD-3-Clause): names and behavior, not text.
"""

from __future__ import annotations

from glimt.brokers.broker import QueueSpec

RESULTS_EXCHANGE = "results"

_WORK = (
    "archive.filelist",
    "archive.pattern",
    "bridge.test",
    "cluster.submission",
    "darc.dropzone",
    "dispatcher",
    "filewatcher",
    "htcondorwatcher",
    "images",
    "index",
    "ispyb_connector",
    "ispyb_pia",
    "mailnotification",
    "mimas",
    "mimas.held",
    "nexusparser.find_related_files",
    "notify_gda",
    "per_image_analysis",
    "per_image_analysis.gpu",
    "per_image_analysis.hdf5_select",
    "processing_recipe",
    "pymca.fitter",
    "relion.dev.stop",
    "ssx.plot",
    "transient.destination",
    "transient.transaction",
    "trigger",
    "validation",
)
_SINGLE = (
    "reduce.dc_sim",
    "reduce.xray_centering",
    "reduce.xray_centering.gpu.compare_results",
    "statistics.cluster",
    "jsonlines",
)


def beamline_results(beamline: str) -> QueueSpec:
    """Return the queue where a beamline finds the results of X-ray centering.

    Fed by the exchange ``results`` with its own name as routing key; nobody needs a result that is a minute old.
    """
    name = f"xrc.{beamline}"
    return QueueSpec(name, expiration_s=60.0, has_dead_letters=False, bindings=((RESULTS_EXCHANGE, name),))


LAYOUT: tuple[QueueSpec, ...] = (
    *(QueueSpec(name) for name in _WORK),
    *(QueueSpec(name, single_consumer=True) for name in _SINGLE),
    # Images that no idle process waits for are not analyzed: better none than late ones.
    QueueSpec("per_image_analysis.ssx", expiration_s=0.0, has_dead_letters=False),
    beamline_results("i03"),
)
TOPICS: tuple[str, ...] = ("command", "transient.status", "transient.statistics.cluster")
EXCHANGES: tuple[str, ...] = (RESULTS_EXCHANGE,)
