"""Every simulated device by the name of its protocol, and the transport it has."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from glimt.model.errors import UsageError
from glimt.sim.albaem import AlbaemDevice
from glimt.sim.contrast import ContrastDevice
from glimt.sim.dectris_v1 import DectrisV1Device
from glimt.sim.dectris_v2 import DectrisV2Device
from glimt.sim.device import Device
from glimt.sim.eiger_legacy import EigerLegacyDevice
from glimt.sim.http_transport import HttpPoster
from glimt.sim.lecroy import LecroyDevice
from glimt.sim.pandabox import PandaboxDevice
from glimt.sim.pandabox_text import PandaboxTextDevice
from glimt.sim.sardana import SardanaDevice, path_of
from glimt.sim.stins import StinsDevice
from glimt.sim.tcp_transport import TcpTextServer
from glimt.sim.transport import Transport
from glimt.sim.xspress3 import Xspress3Device
from glimt.sim.zmq_transport import ZmqTransport

TransportKind = Literal["push", "pub", "tcp", "http"]


class SizedDevice(Device, Protocol):
    """A device that says how large its messages are."""

    @property
    def message_bytes(self) -> int:
        """About how large a message is."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """What there is to know about a kind of device.

    Parameters
    ----------
    make : type
        A dataclass; its fields are the options of the device.
    transport : str
        ``"push"``, ``"pub"``, ``"tcp"`` (a server) or ``"http"`` (a client).
    address : str
        Where such devices usually send.
    """

    make: type[Any]
    transport: TransportKind
    address: str

    @property
    def options(self) -> list[str]:
        """Names of the options of the device."""
        return [field.name for field in dataclasses.fields(self.make) if field.init]


DEVICES: dict[str, DeviceKind] = {
    "stins": DeviceKind(StinsDevice, "push", "tcp://127.0.0.1:9999"),
    "dectris-v1": DeviceKind(DectrisV1Device, "push", "tcp://127.0.0.1:9999"),
    "dectris-v2": DeviceKind(DectrisV2Device, "push", "tcp://127.0.0.1:31001"),
    "eiger-legacy": DeviceKind(EigerLegacyDevice, "push", "tcp://127.0.0.1:9999"),
    "contrast": DeviceKind(ContrastDevice, "pub", "tcp://127.0.0.1:5556"),
    "xspress3": DeviceKind(Xspress3Device, "pub", "tcp://127.0.0.1:9998"),
    "albaem": DeviceKind(AlbaemDevice, "pub", "tcp://127.0.0.1:22003"),
    "pandabox": DeviceKind(PandaboxDevice, "pub", "tcp://127.0.0.1:22004"),
    "pandabox-text": DeviceKind(PandaboxTextDevice, "tcp", "tcp://127.0.0.1:8888"),
    "lecroy": DeviceKind(LecroyDevice, "pub", "tcp://127.0.0.1:22005"),
    "sardana": DeviceKind(SardanaDevice, "http", "http://127.0.0.1:8002"),
}
"""By the names of `glimt.codecs.registry.PROTOCOLS`."""


def device_kind(name: str) -> DeviceKind:
    """Return the kind of device that speaks the protocol ``name``.

    Raises
    ------
    UsageError
        There is none; the text lists those there are.
    """
    kind = DEVICES.get(name.replace("_", "-"))
    if kind is None:
        raise UsageError(f"no device speaks {name[:40]!r}; there are: {', '.join(DEVICES)}")
    return kind


def make_device(name: str, **options: Any) -> SizedDevice:
    """Return a device that speaks the protocol ``name``.

    Parameters
    ----------
    name : str
        Of the protocol.
    **options
        Fields of its class, such as ``shape`` or ``beam_period``.

    Raises
    ------
    UsageError
        There is none, or it has no such option.
    """
    kind = device_kind(name)
    for option in options:
        if option not in kind.options:
            raise UsageError(f"a {name} device has no {option.replace('_', ' ')}; it has {', '.join(kind.options)}")
    device: SizedDevice = kind.make(**options)
    return device


def make_transport(name: str, device: SizedDevice, *, address: str = "", bind: bool = True) -> Transport:
    """Return the transport that devices of the protocol ``name`` have.

    Parameters
    ----------
    name : str
        Of the protocol.
    device : SizedDevice
        What will send through it.
    address : str
        Where; the usual one of the device if empty.
    bind : bool
        False connects a ZeroMQ socket to a receiver that is bound.

    Raises
    ------
    UsageError
        The address cannot be used, or this transport cannot connect.
    """
    kind = device_kind(name)
    address = address or kind.address
    if kind.transport == "http":
        return HttpPoster(address, path_of)
    if kind.transport == "tcp":
        if not bind:
            raise UsageError(f"a {name} device is a server that clients connect to; leave --connect out")
        return TcpTextServer(address)
    return ZmqTransport(address, kind=kind.transport, bind=bind, message_bytes=device.message_bytes)
