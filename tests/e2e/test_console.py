"""The console as its people use it: an administrator at work, an instructor, a student, without a mouse, on a phone."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from console_world import strange, world
from e2e import panel_lab, xss
from e2e.conftest import TOKEN
from playwright.sync_api import expect

AXE = Path(__file__).parents[2] / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
STRANGE = "<img src=x onerror=window.hacked=1>"
SECTIONS = {
    "overview": "Overview",
    "activity": "Activity",
    "activity?tab=errors&user=noor": "Activity",
    "activity/request/xss-1": "Request",
    "activity?tab=ratings": "Activity",
    "keys": "Keys",
    "keys/groq-1": "groq-1",
    "people": "People",
    "people?tab=users": "People",
    "people?tab=limits": "People",
    "people?tab=api-keys": "People",
    "people/course/econometrics": "econometrics",
    f"people/user/{quote(STRANGE, safe='')}": STRANGE,
    "webhooks": "Webhooks",
    "jobs": "Jobs",
    "changes": "Changes",
    "settings": "Settings",
    "own": "My use",
}


OPEN = """way => {
    for (const section of document.querySelectorAll(".section")) section.dataset.old = "1";
    if (location.hash === way) dispatchEvent(new Event("hashchange"));
    else location.hash = way;
}"""


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    texts = [STRANGE, *(text.replace("\n", " ").replace("\t", " ") for text in xss.STRINGS)]
    # The first of stats101, as are its own; the others of groups of their own.
    odd = [strange(text, number, text if number > 1 else "stats101") for number, text in enumerate(texts, start=1)]
    with world(tmp_path_factory.mktemp("console"), odd) as town:
        town.send("POST", "admin/health-check", town.tokens["admin"])  # which finds the dead key
        town.send("POST", "admin/api/webhooks", town.tokens["admin"], {"url": "https://hooks.example.org/a"})
        town.batch(town.tokens["ada"], 3)
        answered = town.ask(town.tokens["ada"]).headers["x-request-id"]
        rating = {"request_id": answered, "rating": 1, "comment": STRANGE}
        town.send("POST", "feedback", town.tokens["ada"], rating)
        yield town


@pytest.fixture(scope="module")
def browser():
    with panel_lab.chromium() as browser:
        yield browser


class Console:
    """A page of the console, after a login with somebody's token; ``asked`` has all addresses that it asked."""

    def __init__(self, browser, town, token, part="admin", **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.asked, self.said = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda line: self.said.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(town.url + part)
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Continue").click()
        self.page.locator("h1").wait_for()
        self.said.clear()  # the route ``me`` has said 401 before the login

    def open(self, way, title=None):
        """Go to a section and wait until it is there, with what it shows."""
        self.page.evaluate(OPEN, f"#/{way}")
        if title is not None:
            self.page.locator(".section:not([data-old]):not([aria-busy])").wait_for()
            self.page.get_by_role("heading", level=1, name=title, exact=True).wait_for()
            self.page.wait_for_function("() => !document.body.innerText.includes('Loading …')")

    def told(self, words, undo=False):
        """Wait for words at the edge of the window, and put them away, or take back what they tell."""
        toast = self.toast(words)
        toast.wait_for()
        toast.get_by_role("button", name="Undo" if undo else "Dismiss").click()
        if undo:
            self.told("Taken back.")
        toast.wait_for(state="detached")

    def toast(self, words):
        return self.page.locator(".toast").filter(has_text=words)

    def press(self, name, within=None):
        (within or self.page).get_by_role("button", name=name, exact=True).first.click()

    def confirm(self, name):
        self.press(name, self.page.get_by_role("dialog"))

    def close(self):
        self.context.close()


@pytest.fixture(scope="module")
def admin(browser, town):
    console = Console(browser, town, town.tokens["admin"], viewport={"width": 1280, "height": 860})
    yield console
    console.close()


def test_why_one_user_gets_no_answers(admin):
    admin.open("people?tab=users", "People")
    admin.page.get_by_label("Name").fill("OOR")  # as much as one has heard
    admin.page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 1")
    admin.page.get_by_label("Name").press("Enter")
    admin.page.get_by_role("heading", name="noor").wait_for()

    finding = admin.page.locator(".finding")
    expect(finding).to_contain_text("The last 9 requests got no answer: model_not_found.")
    expect(finding).to_contain_text("There is no model 'gpt-lagre' for you. There are: gpt-small, llama-70b.")
    finding.get_by_role("link", name="Open the last").click()
    admin.page.get_by_role("heading", level=1, name="Request", exact=True).wait_for()
    admin.page.get_by_text("noor-0").first.wait_for()
    admin.page.get_by_text("refused 404").first.wait_for()
    # And the other way: from the id that the student reads out.
    admin.open("activity?tab=errors", "Activity")
    admin.page.get_by_label("Request id").fill("noor-3")
    admin.page.get_by_label("Request id").press("Enter")
    admin.page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 1")
    expect(admin.page.locator("tbody tr")).to_contain_text("noor")


def test_a_student_who_burns_the_budget_is_stopped_and_let_back(admin, town):
    admin.open("activity", "Activity")
    who = admin.page.get_by_role("region", name="Users")
    who.locator("tbody tr").first.wait_for()
    spent = {row.split("\t")[0]: row for row in who.locator("tbody tr").all_inner_texts()}
    dearest = max(spent, key=lambda name: float(re.search(r"\$([\d.]+)", spent[name])[1]))
    assert dearest == "jonas"
    who.get_by_role("link", name="jonas").click()
    admin.page.get_by_role("heading", name="jonas").wait_for()
    assert town.ask("jonas-token").status_code == 200

    admin.press("Stop")
    admin.confirm("Stop")
    admin.page.get_by_text("This person is stopped.").wait_for()
    refused = town.ask("jonas-token")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert town.ask("hugo-token").status_code == 200, "the others of the course go on"

    admin.press("Let ask again")
    admin.told("may ask again")
    assert town.ask("jonas-token").status_code == 200
    admin.page.get_by_role("button", name="Stop", exact=True).wait_for()
    before = town.send("GET", "admin/api/users/jonas", town.tokens["admin"]).json()["limits"]["day"]["current"]
    assert before > 0
    admin.press("Give limits back")
    admin.confirm("Give back")
    admin.told("has all limits again")
    assert town.send("GET", "admin/api/users/jonas", town.tokens["admin"]).json()["limits"]["day"]["current"] == 0


def test_what_a_course_cost_last_week(admin, town):
    admin.open("people", "People")
    admin.page.get_by_role("link", name="econometrics").click()
    admin.page.get_by_role("heading", name="econometrics").wait_for()
    week = town.send("GET", "admin/api/metrics?hours=168&tenant=econometrics", town.tokens["admin"]).json()
    shown = admin.page.locator(".tile").filter(has_text="Cost, 7 days").locator(".tile-value")
    expect(shown).to_have_text(f"${week['total']['cost_usd']:.2f}")
    assert week["total"]["cost_usd"] > 20

    admin.open("people?tab=limits", "People")
    admin.page.locator(".card").filter(has_text="Of each course").get_by_label("Dollars a day").fill("0.02")
    admin.page.locator(".card").filter(has_text="Of each course").get_by_role("button", name="Save").click()
    admin.toast("The limits are set.").wait_for()
    assert town.ask("mia-token").json()["error"]["code"] == "budget_exceeded"
    admin.told("The limits are set.", undo=True)
    assert town.ask("mia-token").status_code == 200
    admin.open("people/course/econometrics", "econometrics")
    # A budget from now on, taken back by the toast's button.
    admin.page.get_by_label("Dollars a day").fill("0.01")
    admin.page.locator(".card").filter(has_text="Limits and budget").get_by_role("button", name="Save").click()
    admin.toast("The limits of econometrics are set.").wait_for()
    refused = town.ask("hugo-token")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    admin.told("The limits of econometrics are set.", undo=True)
    assert town.ask("hugo-token").status_code == 200


def test_a_dead_key_is_replaced(admin, town):
    admin.open("overview", "Overview")
    finding = admin.page.locator(".finding").filter(has_text="groq-old")
    expect(finding).to_contain_text("Its provider does not accept it any more.")
    finding.get_by_role("link", name="Open").click()
    admin.page.get_by_role("heading", name="groq-old").wait_for()
    admin.page.get_by_text("Add a new key, then retire this one.").wait_for()

    admin.open("keys", "Keys")
    admin.press("Add a key")
    dialog = admin.page.get_by_role("dialog")
    dialog.get_by_label("Provider").fill("groqq")
    dialog.get_by_label("Key", exact=True).fill("gsk-new-one-12345")
    admin.confirm("Add")
    dialog.get_by_role("alert").filter(has_text="is no preset").wait_for()  # what is wrong stays in the form
    dialog.get_by_label("Provider").fill("groq")
    dialog.get_by_label("Name").fill("groq-new")
    dialog.get_by_label("Address").fill("http://provider.invalid/v1")
    admin.confirm("Add")
    admin.told("groq-new is there.")
    row = admin.page.locator("tbody tr").filter(has_text="groq-new")
    row.get_by_role("button", name="Check").click()
    admin.told("groq-new works")
    assert town.asked[-1] == "gsk-new-one-12345"
    admin.page.get_by_role("link", name="groq-old").click()
    admin.page.get_by_role("heading", name="groq-old").wait_for()
    admin.press("Resume")  # a wrong guess; the provider still refuses it
    admin.told("groq-old is used again.")
    admin.press("Check")
    admin.told("does not work: credential")

    admin.open("changes", "Changes")
    told = admin.page.locator("tbody tr").filter(has_text="New key groq-new").first
    expect(told).not_to_contain_text("gsk-new")
    expect(told).not_to_contain_text("sealed")
    told.get_by_role("button", name="Undo").click()
    admin.confirm("Undo")
    admin.told("Taken back.")
    names = [row["key"] for row in town.send("GET", "admin/api/keys", town.tokens["admin"]).json()["keys"]]
    assert "groq-new" not in names


def test_a_job_is_seen_with_whose_it_is_and_asked_again(admin):
    admin.open("jobs", "Jobs")
    row = admin.page.locator("tbody tr").filter(has_text="ada")
    row.filter(has_text="3 failed").wait_for()
    expect(row).to_contain_text("done")
    row.get_by_role("button", name="Ask failed lines again").click()
    admin.told("The failed lines are asked again.")
    admin.open("changes", "Changes")
    expect(admin.page.get_by_text("repeated failed lines of the job")).to_have_count(1)


@pytest.mark.spine
def test_names_that_are_scripts_stay_text_and_nothing_comes_from_elsewhere(admin, town):
    token = town.tokens["admin"]
    rules = {"name": STRANGE, "system_prompt": STRANGE, "keep_prompts": True}
    assert town.send("POST", "admin/api/tenants", token, rules).status_code == 201
    named = {"provider": "x", "base_url": "http://provider.invalid/v1", "key": "k-0123456789", "name": STRANGE}
    assert town.send("POST", "admin/api/keys", token, named).status_code == 201
    made = town.send("POST", "admin/api/api-keys", token, {"owner": "mallory", "name": "k", "tenant": STRANGE})
    assert made.status_code == 201, made.text
    asked = town.ask(made.json()["key"], STRANGE)
    admin.said.clear()
    quoted = quote(STRANGE, safe="")
    more = {f"people/course/{quoted}": STRANGE, f"keys/{quoted}": STRANGE, "people?tab=users&by=requests": "People"}
    for way, title in {**SECTIONS, **more}.items():
        admin.open(way, title)
    admin.open("activity", "Activity")
    admin.page.get_by_text(STRANGE, exact=True).nth(1).wait_for()
    admin.open("activity?tab=errors", "Activity")
    admin.press("Show more")
    admin.page.wait_for_function("() => document.querySelectorAll('tbody tr').length > 80")
    shown = " ".join(admin.page.locator("tbody").inner_text().split())
    assert [text for text in xss.STRINGS if " ".join(text.split()) not in shown] == []
    admin.open(f"activity/request/{asked.headers['x-request-id']}", "Request")
    expect(admin.page.locator("pre").first).to_contain_text(STRANGE)
    assert admin.page.evaluate("window.hacked") is None
    expect(admin.page.locator("main img, main script, main iframe")).to_have_count(0)
    assert all(url.startswith((town.url, "data:")) for url in admin.asked)
    assert admin.said == []
    # Even a part of the page that took text for a page would not run it.
    refused = admin.page.evaluate(
        "() => { try { document.body.innerHTML = '<p>'; } catch (error) { return error.name; } }"
    )
    assert refused == "TypeError"


@pytest.mark.spine
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(admin, scheme):
    admin.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    found = {}
    twins = {"activity/request/xss-1", "people?tab=users", "people?tab=api-keys", "own"}  # of parts that others have
    sections = [one for one in SECTIONS.items() if one[0] not in twins]
    for way, title in sections[:: 1 if scheme == "light" else 4]:
        admin.open(way, title)
        # The frame around them is the same for all.
        within = "document" if way == "overview" else "document.getElementById('view')"
        found |= {f"{way}: {one['id']}": one["nodes"] for one in violations(admin.page, within)}
    admin.open("keys", "Keys")
    admin.press("Add a key")
    found |= {f"dialog: {one['id']}": one["nodes"] for one in violations(admin.page)}
    admin.page.keyboard.press("Escape")
    assert found == {}


def violations(page, within="document"):
    """What axe-core finds, with the places."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # by the debugger, which the page's policy does not bind
    run = f"() => axe.run({within}, {{resultTypes: ['violations']}}).then(found => found.violations)"
    return [
        {"id": one["id"], "nodes": [(node["html"][:120], node["failureSummary"]) for node in one["nodes"]]}
        for one in page.evaluate(run)
    ]


@pytest.mark.spine
def test_it_is_live_and_works_by_keyboard(admin, town):
    page = admin.page
    admin.open("overview", "Overview")
    page.locator(".live .dot.live").wait_for()
    today = page.locator(".tile").filter(has_text="Answers a minute").locator(".tile-more")
    expect(today).to_have_text(re.compile(r"\d"))
    before = int(re.search(r"[\d,]+", today.inner_text())[0].replace(",", ""))
    assert town.ask("ada-token").status_code == 200
    page.wait_for_function(
        "before => Number(document.querySelector('.tile-more').innerText.replace(/\\D/g, '')) > before", arg=before
    )
    page.reload()
    page.locator("h1").wait_for()
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.textContent") == "Keys":
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Keys", level=1).wait_for()
    page.get_by_role("button", name="Add a key").focus()
    page.keyboard.press("Enter")
    expect(page.locator(":focus")).to_have_attribute("name", "provider")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    expect(page.locator(":focus")).to_have_text("Add a key")  # the focus comes back


def test_light_and_dark_are_remembered(admin):
    page = admin.page
    page.emulate_media(color_scheme="light")
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(ground)
    assert light != dark
    page.reload()
    page.locator("h1").wait_for()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(ground) == light


def test_a_phone_scrolls_down_only(browser, town):
    phone = Console(browser, town, town.tokens["admin"], viewport={"width": 390, "height": 844})
    for way, title in SECTIONS.items():
        phone.open(way, title)
        assert phone.page.evaluate("() => document.documentElement.scrollWidth") == 390, way
    phone.open("keys", "Keys")
    assert not violations(phone.page), "where rows of tables are cards"
    phone.close()


@pytest.mark.spine
def test_an_instructor_sees_the_own_course_only(browser, town):
    teacher = Console(browser, town, town.tokens["teacher"])
    expect(teacher.page.locator(".side a")).to_have_text(
        ["Overview", "Activity", "People", "Webhooks", "Jobs", "Changes", "My use"]
    )
    for way, title in (("overview", "Overview"), ("activity", "Activity"), ("jobs", "Jobs"), ("changes", "Changes")):
        teacher.open(way, title)
        assert "jonas" not in teacher.page.content()
    teacher.open("people", "stats101")
    assert not violations(teacher.page)
    teacher.page.get_by_label("Requests a day").fill("500")
    teacher.page.locator(".card").filter(has_text="Limits and budget").get_by_role("button", name="Save").click()
    teacher.told("The limits of stats101 are set.")
    row = teacher.page.locator("tbody tr").filter(has_text="ada")
    teacher.press("Give limits back", row)
    teacher.confirm("Give back")
    teacher.told("ada has all limits again.")
    teacher.open("people/course/econometrics")
    teacher.page.get_by_role("alert").filter(has_text="You see your own group only.").wait_for()
    teacher.open("settings", "Overview")  # there is no such section for them
    teacher.close()


def test_in_a_jupyter_server_whoever_is_logged_in_there_is_its_administrator(browser, jupyter):
    page = browser.new_page()
    page.goto(f"{jupyter}login?token={TOKEN}")
    page.goto(f"{jupyter}rsql/admin")
    page.get_by_role("heading", name="Overview").wait_for()
    page.get_by_role("link", name="Keys", exact=True).click()
    page.get_by_role("button", name="Pause").click()
    page.locator(".toast").filter(has_text="is paused").get_by_role("button", name="Undo").click()
    page.locator(".toast").filter(has_text="Taken back.").wait_for()
    page.close()


def test_ones_own_page(browser, town):
    town.send("POST", "chat", "chen-token", {"message": "What is a p-value?", "session_id": "mine"})
    own = Console(browser, town, "chen-token", part="", viewport={"width": 390, "height": 844})
    own.page.get_by_role("heading", name="My use").wait_for()
    assert not violations(own.page)
    own.press("New key")
    own.page.get_by_label("Name").fill("my script")
    own.page.get_by_label("Requests a day").fill("3")
    assert not violations(own.page)
    own.page.get_by_label("embeddings", exact=True).uncheck()
    own.page.get_by_label("files", exact=True).check()
    own.confirm("Make it")
    text = own.page.locator(".secret").inner_text()
    assert town.send("GET", "me", text).json()["scopes"] == ["chat", "completion", "files"]
    assert town.send("GET", "stats", text).json()["key"]["limits"]["requests_per_day"]["limit"] == 3
    own.press("Close")
    own.page.locator("tr").filter(has_text="my script").get_by_role("button", name="Revoke").click()
    own.confirm("Revoke")
    own.told("my script is revoked.")
    assert town.send("GET", "stats", text).status_code == 401
    own.press("Delete my data")
    own.confirm("Delete")
    own.told("Deleted: ")
    assert town.send("GET", "conversations", "chen-token").json()["conversations"] == []
    own.press("Forget token")
    own.page.get_by_label("Token").wait_for()
    own.page.get_by_label("Token").fill("wrong")
    own.press("Continue")
    own.page.get_by_role("alert").filter(has_text="This token is not known here.").wait_for()
    own.close()
