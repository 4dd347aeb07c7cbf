"""What dranspose calls ``…Packet``: takes one header and says which message it is of.

In dranspose these are pydantic type adapters, used by people's own ingesters to look at the first part of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from glimt.codecs.open_record import OpenRecord, chosen, json_object, json_text
from glimt.codecs.record import Record, decode_header

if TYPE_CHECKING:
    from typing_extensions import Buffer


class PacketAdapter:
    """Makes records of headers; ``isinstance`` with a record class then tells the message.

    Parameters
    ----------
    name : str
        Of the protocol, for error texts.
    choose : callable
        Values of a header to the record class it belongs to; `DecodeError` if there is none.
    """

    def __init__(self, name: str, choose: Callable[[Mapping[str, Any]], type[Record]]) -> None:
        self._where = f"{name}, part 0"
        self._choose = choose

    @classmethod
    def by_key(cls, name: str, key: str, kinds: Mapping[str, type[Record]]) -> PacketAdapter:
        """Return an adapter for messages that say under ``key`` which of ``kinds`` they are."""
        return cls(name, lambda values: chosen(values, key, kinds, where=f"{name}, part 0"))

    def validate_json(self, header: Buffer | str) -> Any:
        """Return the record of a JSON header; what further parts hold (pixels) is not in it.

        Raises
        ------
        DecodeError
            Not JSON or no message of the protocol.
        """
        part = header.encode() if isinstance(header, str) else header
        values = json_object(part, where=self._where)
        kind = self._choose(values)
        if issubclass(kind, OpenRecord):
            return kind.from_values(values, where=self._where, header=part)
        return decode_header(msgspec.json.Decoder(kind), part, where=self._where)

    def validate_python(self, values: Mapping[str, Any] | Record) -> Any:
        """Return the record of a header that was read already.

        Raises
        ------
        DecodeError
            No message of the protocol.
        """
        if isinstance(values, Record):
            return values
        kind = self._choose(values)
        if issubclass(kind, OpenRecord):
            return kind.from_values(values, where=self._where)
        return self.validate_json(json_text(values))
