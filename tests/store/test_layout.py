"""Where two layouts may show different bytes: never less than where they do."""

from hypothesis import given
from hypothesis import strategies as st

from haywain.store.layout import Layout, differing

SIZE = 24
oids = st.sampled_from([b"a", b"b", b"c"])


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    ends = sorted(draw(st.sets(st.integers(0, SIZE), max_size=6)))
    pairs = list(zip(ends[::2], ends[1::2], strict=False))
    extents = tuple((low, draw(oids), draw(st.integers(0, 2)), high - low) for low, high in pairs)
    offsets = sorted(draw(st.sets(st.integers(0, SIZE - 3), max_size=2)))
    return Layout(extents, tuple((offset, draw(oids), draw(st.integers(1, 3))) for offset in offsets))


def shown(layout: Layout) -> list[object]:
    """Return which byte of which chunk or Record each byte of a block is."""
    found: list[object] = [None] * SIZE
    for offset, oid, position, length in layout.extents:
        found[offset : offset + length] = [("chunk", oid, position + n) for n in range(length)]
    for offset, oid, length in layout.patches:
        found[offset : offset + length] = [("record", oid, n) for n in range(length)]
    return found


@given(layouts(), layouts())
def test_all_that_differs_is_found(one: Layout, other: Layout) -> None:
    spans = differing(one, other)
    told = {at for low, high in spans for at in range(low, high)}
    assert {at for at in range(SIZE) if shown(one)[at] != shown(other)[at]} <= told
    assert sorted(spans) == spans and differing(one, one) == []


@given(layouts())
def test_an_addition_is_all_that_differs(one: Layout) -> None:
    end = max((offset + length for offset, _, _, length in one.extents), default=0)
    more = Layout((*one.extents, (end, b"d", 0, 5)), (*one.patches, (SIZE, b"e", 2)))
    assert {at for low, high in differing(one, more) for at in range(low, high)} == {
        *range(end, end + 5),
        SIZE,
        SIZE + 1,
    }
