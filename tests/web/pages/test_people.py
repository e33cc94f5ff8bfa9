"""People and tokens: who may log in, and with which secret a program may."""

from tests.web.pages.conftest import PASSWORD, Browser, browser

from haywain.portal import Site


def add_person(manager: Browser, login: str, roles: list[str], password: str = PASSWORD) -> Browser:
    return manager.send("/person_module/new", reference=login, title="", password=password, roles=roles)


def test_new_person_can_log_in_with_the_roles_given(site: Site, manager: Browser) -> None:
    form = manager.form("/person_module/new")
    form["reference"], form["title"], form["password"] = "nora", "Nora N.", PASSWORD
    checked = [field.value for field in form.fields["roles"] if field.checked]
    assert checked == ["Viewer"]
    form.set("roles", True, index=1)
    page = form.submit(status=303).follow()
    assert "Editor, Viewer" in page and "argon2" not in page
    assert browser(site, "nora").get("/data_stream_module/new").status_int == 200


def test_mistakes_are_told_and_the_password_does_not_come_back(manager: Browser) -> None:
    form = manager.form("/person_module/new")
    form["reference"], form["password"] = "with space", "secret-and-long"
    page = form.submit(status=400)
    assert page.html.find(id="reference")["value"] == "with space" and "secret-and-long" not in page
    form = manager.form("/person_module/new")
    form["reference"], form["password"] = "short", "1234567"
    assert "8 to 1024" in form.submit(status=400).html.find(role="alert").text
    form["reference"], form["password"] = "vera", PASSWORD
    assert "already" in form.submit(status=409).html.find(role="alert").text


def test_roles_change_and_an_empty_password_keeps_the_present_one(site: Site, manager: Browser) -> None:
    add_person(manager, "rose", ["Viewer"])
    rose = browser(site, "rose")
    rose.get("/data_stream_module/new", status=403)
    form = manager.form("/person_module/rose/edit")
    assert "readonly" in form["reference"].attrs
    form.set("roles", True, index=1)
    form.submit(status=303)
    rose.get("/data_stream_module/new")
    assert browser(site, "rose")


def test_new_password_ends_the_sessions_of_the_old_one(site: Site, manager: Browser) -> None:
    add_person(manager, "paul", ["Viewer"])
    paul = browser(site, "paul")
    form = manager.form("/person_module/paul/edit")
    form["password"] = "another password"
    form.submit(status=303)
    paul.get("/", status=303)
    assert paul.log_in("paul").status_int == 401
    assert paul.log_in("paul", "another password").status_int == 303


def test_locked_person_is_out_at_once_and_unlocked_one_back(site: Site, manager: Browser) -> None:
    add_person(manager, "lara", ["Viewer"])
    lara = browser(site, "lara")
    page = manager.get("/person_module/lara")
    assert page.html.find("button", attrs={"name": "transition"}).text == "Lock"
    manager.send("/person_module/lara/transition", transition="invalidate")
    lara.get("/", status=303)
    assert lara.log_in("lara").status_int == 401
    assert "Unlock" in manager.get("/person_module/lara")
    manager.send("/person_module/lara/transition", transition="validate")
    assert lara.log_in("lara").status_int == 303


def test_last_manager_is_told_to_make_another_one(site: Site, manager: Browser) -> None:
    page = manager.send("/person_module/admin/transition", status=400, transition="invalidate")
    assert "last Manager" in page and "first make somebody else one" in page
    form = manager.form("/person_module/admin/edit")
    roles = {field._value: number for number, field in enumerate(form.fields["roles"])}
    form.set("roles", False, index=roles["Manager"])
    form.set("roles", True, index=roles["Editor"])
    assert "last Manager" in form.submit(status=400).html.find(role="alert").text
    program = browser(site)
    program.authorization = ("Basic", ("admin", PASSWORD))
    for change in ({"transition": "invalidate"}, {"roles": []}, {"title": "x", "transition": "invalidate"}):
        answer = program.patch_json("/person_module/admin", change, headers={"Accept": "*/*"}, status=400)
        assert "last Manager" in answer.json["detail"]
    found = program.get("/person_module/admin", headers={"Accept": "application/json"}).json
    assert (found["state"], found["roles"], found["title"]) == ("validated", ["Manager"], "Administrator")


def test_secret_of_a_token_is_shown_once_and_works(site: Site, manager: Browser) -> None:
    form = manager.form("/token_module/new?scopes=read")
    assert form["login"].value == "admin"
    form["reference"] = "notebook"
    page = form.submit(status=200)
    assert page.headers["Cache-Control"] == "no-store"
    secret = page.html.select_one(".copyable code").text
    where = page.html.find("a", string="I have copied it")["href"]
    assert secret not in manager.get(where) and secret not in manager.get("/token_module")
    program = browser(site)
    bearer = {"Authorization": f"Bearer {secret}"}
    assert program.get("/data_stream_module", headers=bearer).status_int == 200
    program.get("/person_module", headers=bearer, status=403)
    manager.send(f"{where}/transition", transition="invalidate")
    program.get("/data_stream_module", headers={**bearer, "Accept": "*/*"}, status=401)


def test_token_is_revoked_and_restored(manager: Browser) -> None:
    where = (
        manager.form("/token_module/new?scopes=read")
        .submit()
        .html.find("a", string="I have copied it")["href"]
    )

    def offered() -> str:
        return str(manager.get(where).html.find("button", attrs={"name": "transition"}).text)

    assert offered() == "Revoke"
    manager.send(f"{where}/transition", transition="invalidate")
    assert offered() == "Restore"
    manager.send(f"{where}/transition", transition="validate")
    events = manager.get(where).html.main.text
    assert offered() == "Revoke" and "Restore" in events and "Lock" not in events


def test_page_of_a_token_tells_its_last_use(site: Site, manager: Browser) -> None:
    page = manager.form("/token_module/new?scopes=read").submit(status=200)
    secret = page.html.select_one(".copyable code").text
    where = page.html.find("a", string="I have copied it")["href"]
    assert "never" in manager.get(where).html.find("dt", string="Last used").find_next("dd").text
    browser(site).get("/data_stream_module", headers={"Authorization": f"Bearer {secret}"})
    site.keep_uses()
    assert manager.get(where).html.find("dt", string="Last used").find_next("dd").time["datetime"]


def test_token_needs_a_scope_and_an_owner(manager: Browser) -> None:
    form = manager.form("/token_module/new")
    page = form.submit(status=400)
    assert "see below" in page.html.find(role="alert").text
    assert "needs a scope" in page.html.main.text  # beside its field
    form = manager.form("/token_module/new?scopes=read")
    form["login"] = "nobody"
    assert "no person" in form.submit(status=400).html.find(role="alert").text


def test_token_that_ends_is_shown_as_expired(manager: Browser) -> None:
    form = manager.form("/token_module/new?scopes=read")
    form["reference"], form["expires"] = "old", "2020-01-01T00:00"
    form.submit(status=200)
    rows = manager.get("/token_module").html.select("tbody tr")
    (old,) = [row for row in rows if row.a.text == "old"]
    assert old.select_one(".state").text == "expired" and "2020-01-01 00:00:00 UTC" in old.text


def test_token_keeps_its_owner_when_edited(manager: Browser) -> None:
    form = manager.form("/token_module/new?scopes=ingest:default")
    form["reference"] = "sender"
    where = form.submit().html.find("a", string="I have copied it")["href"]
    form = manager.form(f"{where}/edit")
    assert [field.value for field in form.fields["scopes"] if field.checked] == ["ingest:default"]
    form["title"] = "The sender"
    assert "The sender" in form.submit(status=303).follow()
