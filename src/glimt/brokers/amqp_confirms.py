"""What RabbitMQ says of messages that were sent to it: taken, or not."""

from __future__ import annotations


class Confirms:
    """Counts the messages of a channel, and which of them the broker has answered for.

    RabbitMQ numbers them from 1 on, and answers for one or for all up to one.
    """

    def __init__(self) -> None:
        self._n_sent = self._n_settled = 0
        self._ahead: set[int] = set()
        self._rejected: list[int] = []

    def expect(self, n: int) -> int:
        """Count messages that are sent now; return the number of the first."""
        self._n_sent += n
        return self._n_sent - n + 1

    def take(self, number: int, *, is_multiple: bool, is_taken: bool) -> None:
        """Count an answer.

        Raises
        ------
        ValueError
            It is for a message that was never sent.
        """
        if not 0 <= number <= self._n_sent:
            raise ValueError(f"an answer for message {number}, where {self._n_sent} were sent")
        start, end = (self._n_settled + 1, number or self._n_sent) if is_multiple else (number, number)
        fresh = [n for n in range(start, end + 1) if n > self._n_settled and n not in self._ahead]
        if not is_taken:
            self._rejected += fresh
        self._ahead.update(fresh)
        while self._n_settled + 1 in self._ahead:
            self._n_settled += 1
            self._ahead.remove(self._n_settled)

    @property
    def is_complete(self) -> bool:
        """Whether all messages were answered for."""
        return self._n_settled == self._n_sent

    def rejected(self) -> list[int]:
        """Return which messages were not taken, once."""
        found, self._rejected = self._rejected, []
        return found
