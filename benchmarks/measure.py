"""How things are compared: in turns, in rotating order, by the medians of several rounds."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Times = dict[str, list[float]]
"""What each subject took, in seconds for the same work, one figure a round."""


class FailedError(Exception):
    """A subject could not do its work; the message says why."""


class CannotError(Exception):
    """A subject has no such work."""


@dataclass
class Line:
    """A row of the table: what was done, and our speed as a multiple of that of each peer."""

    title: str
    floors: dict[str, float] = field(default_factory=dict)
    """How fast we must be beside a peer: 1.0 is as fast."""
    ratios: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def compare(self, times: Times, ours: str) -> None:
        """Set the ratios by the times of a row."""
        if times.get(ours):
            peers = [name for name, found in times.items() if name != ours and found]
            self.ratios = {name: speed(times, ours, name) for name in peers}

    def missed(self) -> list[str]:
        """Return what is slower than it must be."""
        return [
            f"{self.title}: {self.ratios[name]:.2f}x of {name}, not {floor}x"
            for name, floor in self.floors.items()
            if name in self.ratios and self.ratios[name] < floor
        ]


def rotated(names: list[str], number: int) -> list[str]:
    """Return the names, beginning with another one in each round.

    >>> rotated(["a", "b", "c"], 4)
    ['b', 'c', 'a']
    """
    first = number % len(names)
    return names[first:] + names[:first]


def turns(names: list[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield (round, name) for all rounds."""
    for number in range(rounds):
        for name in rotated(names, number):
            yield number, name


def in_turns(
    works: Mapping[str, Callable[[int], float]], rounds: int, line: Line, uncounted: int = 1
) -> Times:
    """Do each work once a round; each is handed the round's number and returns its seconds.

    The first `uncounted` rounds, which warm things up, come on top.  Who fails is noted, and left out.
    """
    times: Times = {name: [] for name in works}
    failed = set[str]()
    for number, name in turns(list(works), rounds + uncounted):
        if name in failed:
            continue
        try:
            took = works[name](number)
        except (FailedError, CannotError) as error:
            failed.add(name)
            times[name] = []
            line.notes += [f"{line.title}, {name}: {error}"] if isinstance(error, FailedError) else []
        else:
            times[name] += [took] if number >= uncounted else []
    return times


def speed(times: Times, ours: str, theirs: str) -> float:
    """Return the speed of ours as a multiple of theirs."""
    return statistics.median(times[theirs]) / statistics.median(times[ours])
