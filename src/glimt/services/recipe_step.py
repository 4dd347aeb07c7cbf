"""One message at one step of a recipe: what it says, and what the service sends because of it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from glimt.brokers.broker import Delivery, Outgoing
from glimt.model.errors import RejectedMessageError
from glimt.model.recipe_envelope import Envelope

_R = TypeVar("_R", bound=msgspec.Struct)

RECIPE_HEADER = "workflows-recipe"


class RecipeStep:
    """A message and the answers to it; see `glimt.services.service.Service`.

    Attributes
    ----------
    payload : Any
        What the step before sent.
    parameters : dict
        Of this step, as the recipe gives them: numbers that were substituted are texts.
    node : dict
        The whole step of the recipe, of which ``parameters`` is one entry. Not to be changed.
    environment : dict
        Values that all later steps of this branch see; may be added to. ``ID`` is the recipe's.
    recipe : Envelope or None
        The recipe the message belongs to; ``None`` for a plain message.
    message_id : str
        The same if the message is delivered again.
    is_identified : bool
        Whether no other message has this ``message_id``; see `glimt.brokers.broker.Delivery`.
    n_deliveries : int
    headers : mapping of str to object
    outgoing : list of Outgoing
        What goes out when the message is acknowledged.
    """

    def __init__(self, delivery: Delivery, envelope: Envelope | None, payload: Any) -> None:
        self.message_id, self.n_deliveries = delivery.message_id, delivery.n_deliveries
        self._made_of_content = "" if delivery.is_identified else delivery.message_id
        self._once = "" if delivery.is_identified else uuid.uuid4().hex
        self.is_identified = delivery.is_identified
        self.headers: Mapping[str, Any] = delivery.headers
        self.queue = delivery.queue
        self.recipe = envelope
        self.payload = payload
        self.node: Mapping[str, Any] = {} if envelope is None else envelope.node
        self.environment: dict[str, Any] = {} if envelope is None else dict(envelope.environment)
        parameters = self.node.get("parameters") if envelope is not None else _plain_parameters(payload)
        self.parameters: dict[str, Any] = dict(parameters) if isinstance(parameters, Mapping) else {}
        self.outgoing: list[Outgoing] = []

    @classmethod
    def resumed(cls, envelope: Envelope, message_id: str) -> RecipeStep:
        """Return a step that continues without a message, from an envelope that a service kept.

        Parameters
        ----------
        envelope : Envelope
            Of a message that was acknowledged before.
        message_id : str
            From which the identities of what is sent are derived; the same when the same is sent again.
        """
        kept = Delivery(
            body=b"", queue="", topic="", headers={}, message_id=message_id, n_deliveries=1, priority=0, token=None
        )
        return cls(kept, envelope, envelope.payload)

    @property
    def recipe_id(self) -> str:
        """Identity of the run of the recipe, for logs; of a plain message, the ``guid`` that it asks for, or empty."""
        return str(self.environment.get("ID") or ("" if self.recipe is not None else self.parameters.get("guid", "")))

    def read_parameters(self, record: type[_R]) -> _R:
        """Return the parameters as a record; texts become the numbers they stand for.

        Raises
        ------
        RejectedMessageError
            One is missing or makes no sense.
        """
        return read_record(self.parameters, record, "parameters")

    def read_payload(self, record: type[_R]) -> _R:
        """Return the payload as a record; texts become the numbers they stand for.

        Raises
        ------
        RejectedMessageError
            A value is missing or makes no sense, or the payload is no object.
        """
        return read_record(self.payload, record, "message")

    def has_output(self, stream: str) -> bool:
        """Say whether the recipe sends what is on ``stream`` anywhere."""
        return self.recipe is not None and bool(self.recipe.targets(stream, default=None))

    def send(
        self, payload: Any, stream: str | None = None, *, default: str | None = None, delay_s: float | None = None
    ) -> int:
        """Send to the steps that the recipe wires to ``stream``, and return to how many.

        Parameters
        ----------
        payload : Any
            JSON values.
        stream : str or None
            Name of the output; ``None`` is the unnamed one.
        default : str or None
            The stream that an unnamed output, and ``None``, stand for.
        delay_s : float or None
            Instead of the target's ``transport-delay``.
        """
        if self.recipe is None:
            return 0
        targets = self.recipe.targets(stream, default=default)
        for target in targets:
            envelope = self.recipe.advanced(target, payload=payload, environment=self.environment)
            self._post(envelope, delay_s)
        return len(targets)

    def checkpoint(self, payload: Any, *, delay_s: float = 0.0) -> None:
        """Send to this very step again.

        Raises
        ------
        RejectedMessageError
            The message belongs to no recipe.
        """
        if self.recipe is None:
            raise RejectedMessageError("the message belongs to no recipe, so the step cannot be continued")
        self._post(self.recipe.repeated(payload=payload, environment=self.environment), delay_s)

    def start(self, envelopes: list[Envelope]) -> None:
        """Send the first messages of a recipe; see `glimt.model.recipe_envelope.start_recipe`."""
        for envelope in envelopes:
            self._post(envelope, None)

    def post(self, message: Outgoing) -> None:
        """Send anything, anywhere; its identity is derived from this message if it has none."""
        self.outgoing.append(message if message.message_id else replace(message, message_id=self._next_id()))

    def _post(self, envelope: Envelope, delay_s: float | None) -> None:
        node = envelope.node
        body = envelope.encode()
        if delay_s is None:
            delay_s = envelope.transport_delay_s
        headers = {RECIPE_HEADER: True}
        for kind in ("queue", "topic"):
            name = node.get(kind)
            if not name:
                continue
            is_queue = kind == "queue"
            self.outgoing.append(
                Outgoing(
                    body=body,
                    queue=str(name) if is_queue else "",
                    topic="" if is_queue else str(name),
                    exchange=str(node.get("exchange") or "") if is_queue else "",
                    headers=headers,
                    message_id=self._next_id(),
                    delay_s=delay_s,
                )
            )

    def _next_id(self) -> str:
        """Derive the identity of the next message from this one's, so that it is the same if this is handled again.

        Not from one that is made of the content: two messages that only look alike would send what looks like one.
        """
        origin = self._once if self._once and self.message_id == self._made_of_content else self.message_id
        text = f"{origin}/{len(self.outgoing)}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_record(value: Any, record: type[_R], what: str) -> _R:
    """Return a JSON object as a record, or reject the message with the reason."""
    try:
        return msgspec.convert(value, record, strict=False)
    except msgspec.ValidationError as error:
        raise RejectedMessageError(f"{what}: {error}") from None


def _plain_parameters(payload: Any) -> Any:
    return payload.get("parameters") if isinstance(payload, Mapping) else None
