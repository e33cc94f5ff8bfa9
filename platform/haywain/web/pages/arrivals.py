"""What comes to an Ingestion Policy: how much, from whom, and how far those are that number it."""

from dataclasses import dataclass

from pyramid.request import Request

from haywain import clock
from haywain.document import Document
from haywain.ingestion.ledger import Ledger
from haywain.ingestion.producer import ProducerState
from haywain.ingestion.tally import RATE_S, AgentKey, Counts
from haywain.web.pages.figures import Moment, count_text, size_text

MOST_AGENTS = 50
"""So many agents are shown, those heard of last."""

SILENT_S = 600
"""An agent that was not heard of for so long is said to be silent."""


_SAID = (
    ("stored", "stored"),
    ("duplicate", "duplicate"),
    ("quarantined", "quarantined"),
    ("refused", "told to come again"),
    ("gap", "refused for a gap"),
    ("fenced", "refused as of an older epoch"),
)


@dataclass(frozen=True)
class Agent:
    """One sender of one tag."""

    name: str
    tag: str
    sender: str
    position: str
    counts: str
    moment: Moment
    is_silent: bool


@dataclass(frozen=True)
class Coming:
    """What has come to a policy."""

    rates: str
    facts: tuple[tuple[str, str], ...]
    agents: tuple[Agent, ...]


def coming(policy: Document, request: Request) -> Coming:
    """Return what has come, to this process since its start, and by the numbers that are kept."""
    tally, states = request.site.tally, _states(policy, request)
    counts = tally.policies().get(policy.id, Counts())
    records, size = counts.rates(clock.now_s())
    known = {(key.agent, key.tag, key.sender): (key, found) for key, found in tally.agents(policy.id)}
    for name in states:
        known.setdefault(name, (AgentKey(policy.id, name[2], name[0], name[1]), Counts()))
    agents = [_agent(key, found, states.get(name)) for name, (key, found) in known.items()]
    agents.sort(key=lambda agent: agent.moment.iso, reverse=True)
    stored = f"{count_text(counts.requests['stored'], 'request')}, {count_text(counts.records, 'record')}"
    return Coming(
        rates=f"{records:,.1f} records and {size_text(round(size))} a second, over the last {RATE_S} seconds",
        facts=(
            ("Stored", f"{stored}, {size_text(counts.stored_bytes)}"),
            ("Duplicates refused", f"{counts.requests['duplicate']:,}"),
            ("Quarantined", f"{counts.requests['quarantined']:,}"),
            ("Told to come again", f"{counts.requests['refused']:,}"),
            ("Gaps in numbers", f"{counts.requests['gap']:,}"),
            ("Of older epochs", f"{counts.requests['fenced']:,}"),
        ),
        agents=tuple(agents[:MOST_AGENTS]),
    )


def _states(policy: Document, request: Request) -> dict[tuple[str, str, str], ProducerState]:
    """Return how far producers are, by their name, tag and sender."""
    found = Ledger.of(request.portal.root).producers.get(policy.id, {})
    return {(state.id, state.tag, state.sender): state for state in list(found.values())[: 20 * MOST_AGENTS]}


def _agent(key: AgentKey, counts: Counts, state: ProducerState | None) -> Agent:
    seen_s = max(counts.seen_s, state.seen_s if state is not None else 0.0)
    return Agent(
        name=key.agent or "(no name)",
        tag=key.tag,
        sender=key.sender,
        position=f"{state.seq + 1:,} in epoch {state.epoch:,}" if state is not None else "",
        counts=", ".join(f"{counts.requests[name]:,} {text}" for name, text in _SAID if counts.requests[name])
        or "nothing since the start",
        moment=Moment.at(seen_s),
        is_silent=clock.now_s() - seen_s > SILENT_S,
    )
