"""Rules of the doctor about one stream: each looks at the health of a stream and says what is wrong, if anything is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from glimt.app.finding import Finding, Severity
from glimt.model.health import GapPattern, Health, StreamHealth, received_of

StreamRule = Callable[[str, StreamHealth, Health], Iterator[Finding]]

CONNECT_S = 5.0
"""A connection that is not there after this time will hardly come by itself [s]."""

SILENT_S = 10.0
"""Inside an open series, silence of this length is worth a word [s]."""

AWAITED_EVENTS = 10
"""Events that may wait for a stream: those of others come a little earlier."""

_STEP_GAPS = 3
_FULL = 0.95
_PULLS = frozenset({"zmq-pull", "zmq-req"})


def broken_connection(name: str, stream: StreamHealth, health: Health) -> Iterator[Finding]:
    """Say that the other end is not there."""
    connection, address = stream.get("connection"), stream.get("address", "its address")
    reason = f" ({stream['reason']})" if stream.get("reason") else ""
    silent_s = stream.get("silent_s", health.get("uptime_s", 0.0))
    if connection == "failed":
        yield Finding(
            "error",
            f"stream {name}: {address} cannot be used{reason}",
            "The address is wrong, or the port is taken or not allowed.",
            f"Check streams.{name}.address in the beamline file, then start the run again.",
        )
    elif connection == "lost":
        yield Finding(
            "error" if stream.get("series") == "open" else "note",
            f"stream {name}: the connection to {address} is lost{reason}",
            "The sender was stopped or restarted, or the network is interrupted.",
            "Look whether the detector's server runs; glimt connects by itself when it is back.",
        )
    elif connection == "connecting" and silent_s >= CONNECT_S:
        yield Finding(
            "error" if _others_get_data(name, health) else "warning",
            f"stream {name}: never connected to {address}{reason}, for {silent_s:,.0f} s",
            "Nothing listens there: the detector's stream is off, the host or port is wrong, or a firewall is between.",
            f"Switch the stream of the detector on, and compare streams.{name}.address with what it says.",
        )


def silent_stream(name: str, stream: StreamHealth, health: Health) -> Iterator[Finding]:
    """Say that the other end is there, but nothing comes."""
    connection, silent_s = stream.get("connection"), stream.get("silent_s", 0.0)
    # Before the sender was there it could send nothing.
    could_send_s = min(silent_s, stream.get("connected_s", silent_s))
    if connection not in {"connected", "listening"} or could_send_s < SILENT_S:
        return
    severity: Severity = "warning" if _others_get_data(name, health) else "note"
    if stream.get("n_messages", 0):
        if stream.get("series") == "open":
            yield Finding(
                "warning",
                f"stream {name}: silent for {silent_s:,.0f} s inside a series",
                "The detector waits for triggers, was stopped without an end, or sends to somebody else now.",
                "Look at the detector; if it is done, end the scan with POST /api/v1/stop.",
            )
    elif connection == "listening":
        yield Finding(
            severity,
            f"stream {name}: nobody has connected to {stream.get('address', 'its address')}",
            "glimt waits here for the sender, which has not come.",
            "Give the sender this address (with the name of this machine), or, if the sender waits as well, "
            f"set streams.{name}.bind = false and its address.",
        )
    else:
        yield Finding(
            severity,
            f"stream {name}: connected, but nothing has come for {could_send_s:,.0f} s",
            "The detector is not armed, sends on another port, or (zmq-sub) has another kind of socket.",
            f"Arm the detector; if it is, check that streams.{name}.transport fits its socket "
            "(PUSH needs zmq-pull, PUB needs zmq-sub).",
        )


def bad_messages(name: str, stream: StreamHealth, _health: Health) -> Iterator[Finding]:
    """Say that messages break the protocol, and which other protocol they speak, if it is known."""
    n_bad, n_messages = stream.get("n_bad", 0), stream.get("n_messages", 0)
    if not n_bad:
        return
    protocol = stream.get("protocol", "the protocol")
    first = f" First: {stream['first_bad']}." if stream.get("first_bad") else ""
    if n_bad < n_messages:
        yield Finding(
            "warning",
            f"stream {name}: {n_bad:,} of {n_messages:,} messages break {protocol}",
            f"Something else sends to the same address, or the detector sends damaged messages.{first}",
            "They are counted and left out. See whether the number still grows; `glimt record` keeps a sample.",
        )
        return
    from glimt.app.bad_sample import protocols_that_accept  # with all protocols, which other commands need not wait for

    others = protocols_that_accept(stream.get("sample_of_bad", []), but=protocol)
    do = f"Set streams.{name}.protocol to what the detector speaks; see `glimt record --help` to keep a sample."
    if others:
        known = " or ".join(f'"{other}"' for other in others)
        do = f"Set streams.{name}.protocol = {known}: it understands these messages."
    yield Finding(
        "error",
        f"stream {name}: all {n_messages:,} messages break {protocol}",
        f"The stream speaks another protocol, or another program sends here.{first}",
        do,
    )


def no_header(name: str, stream: StreamHealth, _health: Health) -> Iterator[Finding]:
    """Say that data come but no start packet came before them."""
    n_outside = stream.get("ledger", {}).get("dropped", {}).get("outside", 0)
    if stream.get("n_messages", 0) <= stream.get("n_bad", 0) or not n_outside:
        return
    if stream.get("series") == "none":
        yield Finding(
            "error",
            f"stream {name}: {n_outside:,} packets came, but no header",
            "The series began before glimt was connected, or another client got the header.",
            "Arm the detector again. If it stays so, look for other clients of the same stream.",
        )
    else:
        yield Finding(
            "warning",
            f"stream {name}: {n_outside:,} packets came before a header or behind an end",
            "The first series had begun before glimt was connected, or the detector sends more than it announced.",
            "Nothing, if the number no longer grows.",
        )


def missing_numbers(name: str, stream: StreamHealth, _health: Health) -> Iterator[Finding]:
    """Say that numbers are missing, and whether somebody else gets them."""
    gaps = stream.get("gaps")
    if not gaps or not gaps.get("n_missing"):
        return
    n_missing, step = gaps["n_missing"], gaps.get("step")
    where = f"{n_missing:,} numbers are missing, from {gaps.get('first')} to {gaps.get('last')}"
    if step is not None and _is_shared(gaps, step):
        others = "another client takes" if step == 2 else f"{step - 1} other clients take"
        rest = "every second frame" if step == 2 else f"{step - 1} of {step} frames"
        yield Finding(
            "error",
            f"stream {name}: {others} {rest}; {where}",
            "A PUSH socket deals its messages out in turn to all who are connected."
            if stream.get("transport", "zmq-pull") in _PULLS
            else "The sender deals its messages out in turn.",
            "End the other client (a second glimt, dranspose, a viewer), or give it a stream of its own.",
        )
        return
    yield Finding(
        "warning",
        f"stream {name}: {where}",
        "The network or the sender's queue dropped them (PUB sockets do so without a word), or triggers were missed.",
        "Compare with the number of frames the detector counts. On zmq-sub, raise the sender's high-water mark.",
    )


def _is_shared(gaps: GapPattern, step: int) -> bool:
    return step >= 2 and gaps.get("n_missing", 0) >= _STEP_GAPS * (step - 1)


def wrong_shape(name: str, stream: StreamHealth, _health: Health) -> Iterator[Finding]:
    """Say that frames are not what the header announced."""
    announced, found = stream.get("header_shape"), stream.get("frame_shape")
    differs = [f"shape {_shape(found)}, not {_shape(announced)}"] if announced and found and announced != found else []
    kinds = stream.get("header_type"), stream.get("frame_type")
    if all(kinds) and kinds[0] != kinds[1]:
        differs.append(f"type {kinds[1]}, not {kinds[0]}")
    if differs:
        yield Finding(
            "error",
            f"stream {name}: frames have {' and '.join(differs)} as the header says",
            "The region of interest, binning or bit depth was changed after the detector was armed.",
            "Arm the detector again, so that its header fits its frames.",
        )


def _shape(shape: list[int] | None) -> str:
    return " x ".join(map(str, shape or []))


def full_queue(name: str, stream: StreamHealth, _health: Health) -> Iterator[Finding]:
    """Say that data come faster than they are processed."""
    queue, dropped = stream.get("queue", {}), stream.get("ledger", {}).get("dropped", {})
    limit = queue.get("limit_bytes", 0)
    is_full = queue.get("full_s", 0.0) > 0 or (limit > 0 and queue.get("used_bytes", 0) >= _FULL * limit)
    n_lost, n_spilled = dropped.get("full", 0), dropped.get("spilled", 0)
    if not (is_full or n_lost or n_spilled):
        return
    consequence = "the sender waits"
    if n_lost or queue.get("policy") == "drop-oldest":
        consequence = f"{n_lost:,} packets were dropped"
    elif n_spilled or queue.get("policy") == "spill":
        consequence = f"{n_spilled:,} packets went to the spill capture"
    yield Finding(
        "error" if n_lost else "warning",
        f"stream {name}: its queue {'is' if is_full else 'was'} full; {consequence}",
        "Workers or reducer are slower than the detector.",
        f"Add workers (engine.use), make the analysis faster, or raise streams.{name}.queue if it is only a burst."
        + (" The spilled part can be replayed with `glimt replay`." if n_spilled else ""),
    )


def late_stream(name: str, stream: StreamHealth, health: Health) -> Iterator[Finding]:
    """Say that other streams wait for this one."""
    n_awaited = stream.get("n_awaited", 0)
    n_late = stream.get("ledger", {}).get("dropped", {}).get("late", 0)
    if n_awaited < AWAITED_EVENTS and not n_late:
        return
    lost = [
        other
        for other, theirs in health.get("streams", {}).items()
        if other != name and theirs.get("ledger", {}).get("dropped", {}).get("incomplete", 0)
    ]
    what = f"{n_awaited:,} events wait for it" if n_awaited >= AWAITED_EVENTS else "its packets came too late"
    late = f"; {n_late:,} packets came after their event was closed" if n_late else ""
    yield Finding(
        "error" if n_late or lost else "warning",
        f"stream {name} is late: {what}{late}",
        "Its device sends in bunches or slowly, misses triggers, or was never started"
        + (f"; events of {', '.join(lost)} were dropped for it." if lost else "."),
        f"Check the device of {name}. If it is only slow, raise events.late_s; if it may be missing, "
        f"set streams.{name}.optional = true.",
    )


def dropped_for_reason(name: str, stream: StreamHealth, health: Health) -> Iterator[Finding]:
    """Say why packets were dropped for reasons that no other rule speaks about."""
    dropped = stream.get("ledger", {}).get("dropped", {})
    if n_dropped := dropped.get("no_scan", 0):
        yield Finding(
            "error",
            f"stream {name}: {n_dropped:,} packets came while there was no trigger map",
            "In map mode a scan begins with its map; data before it belong to nothing.",
            'Send the map (POST /api/v1/sequence) before the detector is armed, or set events.mode = "automatic".',
        )
    if n_dropped := dropped.get("no_worker", 0):
        tags = sorted({tag for worker in health.get("workers", {}).values() for tag in worker.get("tags", [])})
        yield Finding(
            "error",
            f"stream {name}: for {n_dropped:,} packets there is no worker that may take them",
            f"The trigger map asks for tags that no worker has; there are: {', '.join(tags) or 'none'}.",
            "Change the tags in the map, or those of the workers in the beamline file.",
        )
    if n_dropped := dropped.get("repeated", 0):
        yield Finding(
            "warning",
            f"stream {name}: {n_dropped:,} packets had a number that was there already",
            "Two senders send to this address, or the detector began a new series without a header.",
            "Look whether more than one sender is connected.",
        )


def wrong_account(name: str, stream: StreamHealth, _health: Health) -> Iterator[Finding]:
    """Say that the ledger does not add up, which is a fault of glimt."""
    ledger = stream.get("ledger", {})
    if "received" in ledger and (total := received_of(ledger)) != ledger["received"]:
        yield Finding(
            "error",
            f"stream {name}: {ledger['received']:,} packets were received, but {total:,} are accounted for",
            "This is a fault in glimt.",
            "Please report it, with the output of `glimt status --json`.",
        )


STREAM_RULES: tuple[StreamRule, ...] = (
    broken_connection,
    silent_stream,
    bad_messages,
    no_header,
    missing_numbers,
    wrong_shape,
    full_queue,
    late_stream,
    dropped_for_reason,
    wrong_account,
)


def _others_get_data(name: str, health: Health) -> bool:
    streams = health.get("streams", {})
    return any(
        one.get("n_messages", 0) > 0 and one.get("silent_s", 0.0) < SILENT_S
        for other, one in streams.items()
        if other != name
    )
