"""Turn: the place of one request among those of its producer, in the running transaction."""

from BTrees.OOBTree import OOBTree

from haywain.errors import InvalidError
from haywain.ingestion.ledger import Ledger, ledger_key
from haywain.ingestion.producer import Producer, ProducerState
from haywain.ingestion.request import Request
from haywain.ingestion.tag import printable_tag


class Turn:
    """Whether a request comes next; `take` notes that it has come."""

    def __init__(self, ledger: Ledger, request: Request, producer: Producer) -> None:
        """Look up how far the producer is; raises InvalidError if its headers make no sense."""
        self._producers, self._request, self._producer = ledger.producers, request, producer
        self._at, self._previous = producer.position(), producer.previous_position()
        name = f"{producer.id}\0{printable_tag(request.tag)}"
        self._key = ledger_key(request.scope, request.policy, name)
        found: ProducerState | None = self._producers.get(request.policy, {}).get(self._key)
        self._state = found

    @classmethod
    def of(cls, ledger: Ledger, request: Request) -> "Turn | None":
        """Return the turn of a request; None if it has no producer, or one that makes no sense."""
        if request.producer is None:
            return None
        try:
            return cls(ledger, request, request.producer)
        except InvalidError:
            return None

    def is_due(self) -> bool:
        """Return whether it comes next, not if it has come; raises SequenceError where it cannot."""
        return self._known().is_due(self._at, self._previous)

    def take(self) -> None:
        """Note, in the transaction that keeps the request, that it has come."""
        state, policy = self._known(), self._request.policy
        state.take(self._at)
        if self._state is None:
            if policy not in self._producers:
                self._producers[policy] = OOBTree()
            self._producers[policy][self._key] = self._state = state

    def _known(self) -> ProducerState:
        if self._state is not None:
            return self._state
        tag = printable_tag(self._request.tag)[:255]
        return ProducerState(self._producer.id, tag, self._request.scope)
