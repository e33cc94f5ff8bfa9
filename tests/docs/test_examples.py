"""Examples in the docs and in docstrings are tests."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import haywain

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def modules() -> list[str]:
    """Every module of the package; those of content folders under the name they are imported by."""
    found = pkgutil.walk_packages(haywain.__path__, "haywain.")
    return sorted(info.name for info in found if not info.name.endswith("__main__"))


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(
    "page", [README, ROOT / "docs" / "machine-learning.md"], ids=["README", "machine learning"]
)
def test_python_of_a_page_prints_what_it_says(tmp_path: Path, page: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    program = "\n".join(blocks)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    said = re.findall(r"print\(.*\)  # (.*)", program)
    assert len(said) == program.count("print(") > 2
    assert done.stdout.splitlines() == said


@pytest.fixture
def portal(tmp_path: Path, free_port: int) -> Iterator[str]:
    """The portal that the README starts, on a port of ours."""
    command = [sys.executable, "-m", "haywain", "serve", "--data", str(tmp_path / "my-data")]
    server = subprocess.Popen(
        [*command, "--port", str(free_port)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={"PATH": "/usr/bin:/bin", "HAYWAIN_ADMIN_PASSWORD": "a-good-password"},
    )  # fmt: skip
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()


def test_curl_of_the_readme_runs(portal: str) -> None:
    blocks = re.findall(r"<!-- run -->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    script = "set -euo pipefail\n" + "\n".join(blocks).replace("http://127.0.0.1:8081", portal)
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    statuses = re.findall(r"Ingest-Status: (\w+)", done.stdout)
    assert statuses == ["stored", "duplicate"]
    assert '"reference": "greenhouse.temperature"' in done.stdout
    assert done.stdout.endswith("\n21.5 \n21\n21.5 21.7 21.9 \n# Haywain\n")  # whole, range; after the writes


def test_the_kind_in_the_guide_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "portal-types.md").read_text()
    source = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert source is not None
    folder = tmp_path / "var" / "portal_types"
    program = (
        "import haywain\n"
        "with haywain.open('var') as portal: pass\n"
        "import pathlib; pathlib.Path('var/portal_types').mkdir()\n"
        f"pathlib.Path('var/portal_types/buoy.py').write_text({source[1]!r})\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=30)
    assert (folder / "buoy.py").exists()
    use = (
        "import haywain\n"
        "with haywain.open('var') as portal:\n"
        "    buoy = portal.new('Buoy', reference='north', latitude=54.2); portal.commit()\n"
        "    print(buoy.as_dict()['latitude'], portal.catalog(portal_type='Buoy').count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", use], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.split() == ["54.2", "1"], done.stderr


def test_recipe_of_the_guide_is_validated(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "analyses.md").read_text()
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    program = f"{found[1]}    print(recipe.state, len(recipe.lines))\n"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (0, "validated 2\n"), done.stderr
