"""fluentd's forward protocol, version 1: a listener to which any fluent logger can send.

https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1

The portal has it as a door, `haywain agent` as a source; so this imports neither.  What comes in is handed
on as it came, bytes for bytes, and acknowledged when whoever takes it says that it is kept.
"""

from haywain.forward.event import Deliver, Reject
from haywain.forward.handshake import Account, Security
from haywain.forward.limits import ForwardLimits
from haywain.forward.listener import Listener

__all__ = ["Account", "Deliver", "ForwardLimits", "Listener", "Reject", "Security"]
