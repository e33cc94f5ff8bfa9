"""The guard of a run: what does not heed is interrupted, and only then abandoned."""

import threading

from haywain.activity.guard import GRACE_S, Guard, OverLimit


def spin(started: threading.Event) -> None:
    while True:
        started.set()


def test_loop_is_interrupted_before_it_is_abandoned_however_late() -> None:
    guards, ends, started = list[Guard](), list[BaseException](), threading.Event()

    def run() -> None:
        guards.append(Guard("1", "claim", 60, 1))
        try:
            guards[0].inside(lambda: spin(started))
        except OverLimit as error:
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    guards[0].ask(OverLimit("enough"))
    assert not guards[0].press()
    guards[0].asked_at -= 10 * GRACE_S  # a watchdog that had no turn for long
    assert not guards[0].press()
    thread.join(10)
    assert not thread.is_alive() and [str(error) for error in ends] == ["enough"]
