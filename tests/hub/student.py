"""People on a hub, in browsers: a student in JupyterLab, and who looks at pages of the gateway."""

from __future__ import annotations

import re
from contextlib import contextmanager
from urllib.parse import quote

import nbformat
from e2e import panel_lab


class Student:
    """The page of a student whose server has JupyterLab."""

    def __init__(self, hub, browser, name="lin", **options):
        self.hub, self.name, self.home = hub, name, hub.folder / name
        self.context = browser.new_context(**{"viewport": {"width": 1300, "height": 860}} | options)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.errors, self.asked = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.sidebar = self.page.locator(".rsql-sidebar")
        self.box = self.sidebar.get_by_label("Message", exact=True)
        self.turns = self.sidebar.locator(".rsql-turn")
        self.status = self.page.get_by_role("button", name=re.compile("^Chat about the notebook"))

    def write(self, name, cells):
        """A notebook, in a home without JupyterLab's questions about news."""
        panel_lab.write_settings(self.home / ".jupyter" / "lab" / "user-settings")
        code = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(
            nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": panel_lab.KERNEL}), self.home / name
        )

    def log_in(self, path):
        self.page.goto(f"{self.hub.url}hub/user-redirect/lab/tree/{quote(path)}")
        panel_lab.log_in(self.page, self.name)
        self.ready()

    def ready(self):
        self.page.get_by_text("| Idle").wait_for(timeout=90_000)

    def end_server(self):
        """End the student's server and all its kernels."""
        self.hub.api("DELETE", f"users/{self.name}/server")

    def go_on(self):
        """Open the page again after the server has ended."""
        self.page.reload()
        self.page.get_by_role("button", name="Launch Server").click()
        self.ready()

    def button(self, name, within=None):
        return (within or self.sidebar).get_by_role("button", name=name, exact=True)

    def ask(self, text):
        return panel_lab.answered(self.sidebar, text)

    def more(self, item):
        self.button("More").click()
        self.sidebar.get_by_role("menuitem", name=item, exact=True).click()

    def run(self, place):
        cell = self.page.locator(".jp-Notebook .jp-Cell").nth(place)
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        cell.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[\d+\]:")).wait_for()
        return cell


@contextmanager
def in_a_browser(hub, request, name="lin"):
    """A student, of whose page a test that fails leaves a picture."""
    failed = request.session.testsfailed
    with panel_lab.chromium() as browser:
        student = Student(hub, browser, name)
        yield student
        if request.session.testsfailed > failed:
            student.page.screenshot(path=panel_lab.SCREENSHOTS / f"{request.node.originalname}.png")


class Visitor:
    """Somebody with a browser of their own, who logs in to the hub where a page asks for that."""

    def __init__(self, browser, name):
        self.name, self.page = name, browser.new_context().new_page()

    def open(self, address):
        """The HTTP status of what an address shows."""
        reply = self.page.goto(address)
        if self.page.locator("#login_submit").count():
            panel_lab.log_in(self.page, self.name)
            self.page.wait_for_url(address)
            reply = self.page.goto(address)
        return reply.status

    def close(self):
        self.page.context.close()
