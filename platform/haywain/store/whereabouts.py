"""Whereabouts: says of problems that were found in objects which documents they are in, and where there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ZODB.utils import z64

from haywain.store.array import Array
from haywain.store.database import PortalConnection
from haywain.store.problem import Problem
from haywain.store.pyramid import Level
from haywain.store.stream import Stream
from haywain.store.structure import place_in_stream, rows_in_array
from haywain.store.verification import Verification

PathOf = Callable[[Any], str]
"""Returns the path of a document.  Any: of a layer above."""


def locate(verification: Verification, connection: PortalConnection, path_of: PathOf) -> None:
    """Give each problem of the report that has an oid, and no path yet, what can be found out."""
    problems = verification.report.problems
    owners = {p.oid: verification.graph.owner(p.oid) for p in problems if p.oid and not p.path}
    holders = _holders(verification, set(owners.values()) - {z64})
    for number, problem in enumerate(problems):
        owner = owners.get(problem.oid, z64)
        if owner == z64:
            continue
        path = _quietly(lambda owner=owner: path_of(connection.get(owner))) or ""  # type: ignore[misc]
        found = replace(problem, path=path)
        for holder in holders.get(owner, ()):
            found = _placed(found, connection, holder)
        problems[number] = found


def _holders(verification: Verification, owners: set[bytes]) -> dict[bytes, list[bytes]]:
    """Return the oids of Streams and Arrays by the oids of their owners."""
    payload, found = verification.payload, dict[bytes, list[bytes]]()
    numbers = {n for n, cls in enumerate(payload.classes) if issubclass(cls, Stream | Array)}
    for oid, number in payload.kinds.iteritems() if owners and numbers else ():
        if number in numbers and (owner := verification.graph.owner(oid)) in owners:
            found.setdefault(owner, []).append(oid)
    return found


def _placed(problem: Problem, connection: PortalConnection, holder: bytes) -> Problem:
    """Return a problem with the offset or the rows of its bytes, if they lie in a Stream or an Array."""
    if problem.offset is not None or problem.rows is not None:
        return problem
    held = connection.get(holder)
    if isinstance(held, Stream):
        return replace(problem, offset=_quietly(lambda: place_in_stream(held, problem.oid)))
    if isinstance(held, Level):
        is_there = _quietly(lambda: rows_in_array(held, problem.oid)) is not None
        return replace(problem, kind="pyramid") if is_there else problem
    if isinstance(held, Array):
        return replace(problem, rows=_quietly(lambda: rows_in_array(held, problem.oid)))
    return problem


def _quietly(find: Callable[[], Any]) -> Any:  # Any: what is found
    """Return what is found, or None where damage, which is reported already, is in the way."""
    try:
        return find()
    except MemoryError:
        raise
    except Exception:  # a damaged state raises what it likes
        return None
