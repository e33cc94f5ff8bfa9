"""Who somebody is, and what they may do."""

from haywain.security.user import ANONYMOUS, SYSTEM, User, hidden_portal_types, may, require

__all__ = ["ANONYMOUS", "SYSTEM", "User", "hidden_portal_types", "may", "require"]
