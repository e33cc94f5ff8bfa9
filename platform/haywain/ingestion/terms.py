"""Terms: by what a policy knows again what was sent before, and what it demands of its senders."""

from dataclasses import dataclass
from typing import Any

from ZODB.TimeStamp import TimeStamp

from haywain import clock
from haywain.document import Document
from haywain.errors import DeliveryError
from haywain.ingestion.ledger import Known, Ledger, ledger_key
from haywain.ingestion.request import Delivery

_ASKED = {
    "key": "an Idempotency-Key, or the numbers of a producer",
    "producer": "Producer-Id, Producer-Epoch and Producer-Seq",
}


@dataclass(frozen=True)
class Terms:
    """Those of one policy."""

    demand: str = ""
    same_body_s: int = 0
    record_key: tuple[str, ...] = ()

    def key_of(self, delivery: Delivery) -> bytes | None:
        """Return under which hash the ledger knows a request: by its name, else perhaps by its body.

        Raises DeliveryError if the sender names it in no way that the policy demands.
        """
        request = delivery.request
        if self.demand and request.producer is None and (self.demand == "producer" or not request.key):
            raise DeliveryError(
                f"This policy asks for {_ASKED[self.demand]}, since it is to store nothing twice"
            )
        if delivery.key is not None or not self.same_body_s:
            return delivery.key
        name = f"body\0{delivery.tag}\0{delivery.identity.length}\0{delivery.identity.digest.hex()}"
        return ledger_key(request.scope, request.policy, name)

    def known(self, ledger: Ledger, delivery: Delivery, key: bytes | None) -> Known | None:
        """Return what is known of a key; a body alone is forgotten after its time."""
        found = ledger.find(key) if key else None
        if found is None or delivery.key is not None or not found.tid:
            return found
        age_s = clock.now_s() - TimeStamp(bytes.fromhex(found.tid)).timeTime()
        return found if age_s < self.same_body_s else None


def terms_of(policy: Document) -> Terms:
    """Return the terms of a policy."""
    found: Any = policy.properties  # Any: those of an Ingestion Policy, which this layer does not import
    return Terms(found.demand, found.same_body_seconds, found.record_key)
