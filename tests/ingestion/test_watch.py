"""Rules in the data directory: taken up while the portal serves, and never half."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import haywain.ingestion_policies
from haywain.app import open_site
from haywain.ingestion import Request, deliver
from haywain.ingestion.watch import PolicyWatch
from haywain.portal import Site
from haywain.settings import load

SOURCE = '''
"""{name}: a rule of a test."""

from haywain.interfaces import Chunk, Route, Targets


class {cls}:
    """What {name} does."""

    name = "{name}"
    title = "{name}"

    def route(self, tag: str) -> Route | None:
        return Route(tag, "p", "s")

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        targets.append({what})
'''


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    opened, _ = open_site(load(data=tmp_path / "var", admin_password="long enough"))
    yield opened
    opened.close()


@pytest.fixture
def folder(site: Site) -> Path:
    (site.path / "ingestion_policies").mkdir()
    return site.path / "ingestion_policies"


@pytest.fixture
def watch(site: Site) -> PolicyWatch:
    return PolicyWatch(site)


def write(folder: Path, stem: str, what: str = "chunk.body", name: str = "") -> Path:
    path = folder / f"{stem}.py"
    path.write_text(SOURCE.format(name=name or stem, cls=stem.capitalize(), what=what))
    return path


def look(watch: PolicyWatch) -> None:
    """Look twice: what is the same by then is complete."""
    watch.look()
    watch.look()


def sent(site: Site, policy: str) -> bytes:
    """Return what the policy puts into a stream now."""
    receipt = deliver(site, Request(policy, b"watched", b"x"))
    assert receipt.status == "stored"
    with site.open() as portal:
        stream = portal[receipt.path]
        return bytes(stream.read(receipt.offset, receipt.offset + receipt.length))  # type: ignore[attr-defined]


def test_new_file_is_taken_up_with_its_policy(site: Site, folder: Path, watch: PolicyWatch) -> None:
    look(watch)
    write(folder, "upper", "chunk.body.upper()")
    look(watch)
    assert sent(site, "upper") == b"X"
    with site.open() as portal:
        assert portal["portal_ingestion_policies/upper"].state == "validated"


def test_change_is_taken_up_even_if_it_looks_the_same(site: Site, folder: Path, watch: PolicyWatch) -> None:
    """Of the same size, within the same second: the compiled file would not tell them apart."""
    write(folder, "twice", "chunk.body * 2")
    look(watch)
    assert sent(site, "twice") == b"xx"
    write(folder, "twice", "chunk.body * 3")
    look(watch)
    assert sent(site, "twice") == b"xxx"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def broken(:", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("class Other:\n    pass\n", "has no class Kept"),
        ("class Kept:\n    pass\n", "has no name"),
        ("class Kept:\n    name = 'kept'\n", "route and deliver"),
        ("raise SystemExit", ""),
    ],
    ids=["syntax", "import", "class", "name", "methods", "exit"],
)
def test_file_that_cannot_be_used_leaves_the_old_rule(
    site: Site, folder: Path, watch: PolicyWatch, text: str, why: str
) -> None:
    path = write(folder, "kept", "b'old'")
    look(watch)
    path.write_text(text)
    look(watch)
    assert sent(site, "kept") == b"old"
    assert why in site.registry.problem_of("kept") and str(path) in site.registry.problems
    write(folder, "kept", "b'new'")
    look(watch)
    assert sent(site, "kept") == b"new" and not site.registry.problems


def test_file_that_is_still_written_waits(site: Site, folder: Path, watch: PolicyWatch) -> None:
    path = write(folder, "slow")
    watch.look()
    path.write_text(path.read_text() + "\n# more\n")
    watch.look()
    assert "slow" not in site.registry.ingestion_policies
    watch.look()
    assert "slow" in site.registry.ingestion_policies


def test_two_rules_of_one_name_are_refused(site: Site, folder: Path, watch: PolicyWatch) -> None:
    first = write(folder, "first", name="shared")
    look(watch)
    second = write(folder, "second", name="shared")
    third = write(folder, "third", name="ndjson")
    look(watch)
    assert (
        str(first) in site.registry.problems[str(second)]
        and "'shared'" in site.registry.problems[str(second)]
    )
    assert "ingestion_policies/ndjson.py" in site.registry.problems[str(third)]
    assert type(site.registry.rule("shared")).__name__ == "First"


def test_file_named_like_one_of_ours_is_refused(site: Site, folder: Path, watch: PolicyWatch) -> None:
    path = write(folder, "csv", name="mine")
    look(watch)
    assert "one module" in site.registry.problems[str(path)]
    assert "mine" not in site.registry.ingestion_policies and site.registry.rule("csv").title


def test_rule_that_has_another_name_is_known_by_that(site: Site, folder: Path, watch: PolicyWatch) -> None:
    write(folder, "named", name="before")
    look(watch)
    write(folder, "named", name="after")
    look(watch)
    assert {"before", "after"} & set(site.registry.ingestion_policies) == {"after"}
    assert deliver(site, Request("before", b"t", b"x")).status == "quarantined"


def test_file_that_is_gone_keeps_its_rule(site: Site, folder: Path, watch: PolicyWatch) -> None:
    path = write(folder, "gone")
    look(watch)
    path.unlink()
    look(watch)
    assert sent(site, "gone") == b"x"


def test_file_that_was_there_at_the_start_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haywain.ingestion_policies, "__path__", [*haywain.ingestion_policies.__path__])
    settings = load(data=tmp_path / "kept", admin_password="long enough")
    open_site(settings)[0].close()
    folder = tmp_path / "kept" / "ingestion_policies"
    folder.mkdir()
    write(folder, "early", "b'old'")
    site, _ = open_site(settings)
    assert sent(site, "early") == b"old"
    watch = PolicyWatch(site)
    look(watch)
    assert sent(site, "early") == b"old" and not site.registry.problems
    write(folder, "early", "b'new'")
    look(watch)
    assert sent(site, "early") == b"new"
    site.close()


def test_rule_of_the_guide_works(site: Site, folder: Path, watch: PolicyWatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
    source = guide.partition("```python\n")[2].partition("```")[0]
    (folder / "alarms.py").write_text(source)
    look(watch)
    receipt = deliver(site, Request("alarms", b"mast", b"fine\nALARM 7\n"))
    with site.open() as portal:
        alarms = portal.root.find("sink", "mast.alarms")
        assert alarms is not None and alarms.read() == b"ALARM 7\n"  # type: ignore[attr-defined]
        assert portal[receipt.path].size == 13
