"""Verify: what is sound is told to be, and damage is told by its place."""

from typing import Any

import numpy as np
import pytest

from haywain.portal import Portal, Site
from haywain.values import MIB


def stored(site: Site, kind: str) -> str:
    """Return the path of 5 MiB in blobs."""

    def work(portal: Portal) -> str:
        document: Any = portal.new(kind)
        data = np.random.default_rng(1).integers(0, 256, 5 * MIB, "u1")
        if kind == "Data Array":
            document.create((0,), "u1")
            document.append(data)
        else:
            document.append(data.tobytes())
            document.close_tail()
            document.seal(0)
        return str(document.path)

    return site.transact(work)[0]


def damage(site: Site, offset: int) -> None:
    """Change a byte of the blob of 5 MiB that was stored last."""
    blobs = [path for path in (site.path / "blobs").rglob("*.blob") if path.stat().st_size == 5 * MIB]
    path = max(blobs, key=lambda path: path.stat().st_mtime_ns)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(("kind", "unit"), [("Data Array", "rows"), ("Data Stream", "bytes")])
def test_place_of_damage_is_told(site: Site, kind: str, unit: str) -> None:
    path = stored(site, kind)
    with site.open() as portal:
        job = portal.map_reduce("verify", portal[path], step="2 MiB")
        portal.commit()
        assert job.wait(60).result == {unit: 5 * MIB, "damaged": [], "is_sound": True}
    damage(site, 3 * MIB + 17)
    with site.open() as portal:
        one = portal[path].activate().verify()
        job = portal.map_reduce("verify", portal[path], step="2 MiB")
        portal.commit()
        place = {"start": 3 * MIB, "stop": 4 * MIB}
        for found in (one.wait(60).result, job.wait(60).result):
            assert found == {unit: 5 * MIB, "damaged": [place], "is_sound": False}
        assert "1 places are damaged" in one.log[-1]


@pytest.mark.parametrize("everything", [False, True])
def test_catalog_finds_a_document_again(site: Site, everything: bool) -> None:
    path = stored(site, "Data Stream")
    with site.open() as portal:
        job = portal[path].activate().reindex(everything=everything)
        portal.commit()
        found = job.wait(60).result["documents"]
        assert (found > 1) is everything
        assert path in [document.path for document in portal.catalog(portal_type="Data Stream")]
