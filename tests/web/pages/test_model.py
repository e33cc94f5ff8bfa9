"""The page of a model, the file it is kept in, and the form to train one; nothing of it takes code."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier
from tests.web.pages.conftest import Browser

from haywain.analysis import skops_file
from haywain.portal import Portal, Site

ROWS = np.random.default_rng(0).normal(size=(500, 3))
ROWS[:, 2] = ROWS[:, 0] > ROWS[:, 1]


@pytest.fixture(scope="module")
def array(site: Site) -> str:
    def make(portal: Portal) -> str:
        made: Any = portal.new("Data Array", reference="rows", columns=[{"name": name} for name in "abk"])
        made.create((0, 3), "f8")
        made.append(ROWS)
        return str(made.path)

    return site.transact(make)[0]


def run(site: Site, browser: Browser, array: str, kind: str, **fields: str) -> Any:
    """Run a kind by its form; return its result."""
    form = browser.form(f"/{array}/run?kind={kind}")
    for name, value in fields.items():
        form[name] = value
    id = form.submit(status=303).location.rpartition("/")[2].partition("?")[0]
    while not site.workers.run_next():
        pass
    with site.open() as portal:
        job = portal.job(id)
        assert job.error is None
        return job.result


def test_model_is_trained_by_a_form_shown_and_downloaded(site: Site, manager: Browser, array: str) -> None:
    found = run(
        site, manager, array, "train", target="k", features="a, b", test_share="0.2", scale="on",
        estimator_parameters='{"alpha": 0.01}',
    )  # fmt: skip
    predicted = run(site, manager, array, "predict", model=found["model"])
    page = manager.get(f"/{found['model']}").html
    facts = {dt.text: dt.find_next("dd").text for dt in page.select("dl.facts dt")}
    assert facts["Predicts"] == "k" and facts["Features"] == "a, b" and facts["Rows"] == "500 rows"
    assert float(facts["Accuracy"]) == pytest.approx(found["scores"]["accuracy"], abs=1e-5)
    assert page.find("a", href=f"/{array}") and page.find("a", href=f"/{predicted['array']}")
    cells = {row.th.text: row.td.text for row in page.select("tbody tr")}
    assert cells["model__alpha"] == "0.01" and cells["model__shuffle"] == "True"
    answer = manager.get(page.find("a", download=True)["href"])
    assert answer.headers["Content-Disposition"].startswith(
        'attachment; filename="rows sgd classifier.skops"'
    )
    model = skops_file.load(answer.body)
    with site.open() as portal:
        target: Any = portal[predicted["array"]]
        assert np.array_equal(target[:], model.predict(ROWS[:, :2]))


def test_model_without_an_estimator_says_so(site: Site, manager: Browser) -> None:
    path = site.transact(lambda portal: str(portal.new("Model", reference="empty").path))[0]
    assert "There is no estimator yet" in manager.get(f"/{path}")


def test_page_shows_what_a_model_says_as_text(site: Site, manager: Browser) -> None:
    def make(portal: Portal) -> str:
        model: Any = portal.new("Model", reference="<i>m")
        model.save(SGDClassifier().fit(ROWS[:, :2], ROWS[:, 2]), target="<script>", features=["<b>"])
        return str(model.path)

    page = manager.get(f"/{site.transact(make)[0]}")
    assert "&lt;script&gt;" in page and "<script>" not in page.text.replace("<script ", "")
