"""The playground in a real browser: Debian's Chromium, without a screen, at the demo's own server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from tests import charts
from tests.serving import ROOT, Server, free_port, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

pytestmark = pytest.mark.e2e

X = "\N{MULTIPLICATION SIGN}"

CLIENT_URL = (
    "https://cdn.example.com/insecure/rs:fill:300:200/g:fp:0.25:0.75/dpr:2/f:webp/q:70/plain/local:///tomatoes.jpg"
)
"""As `@bitpatty/imgproxy-url-builder` writes them, signed with nobody's key."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port, said = free_port(), tmp_path_factory.mktemp("demo") / "stdout"
    with said.open("wb") as out, (said.parent / "log").open("w+b") as log:
        command = [sys.executable, "-m", "imgproxy", "demo", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env={"PYTHONUNBUFFERED": "1"}, stdout=out, stderr=log)
        server = Server(process, f"127.0.0.1:{port}", log)
        try:
            until(lambda: "Ctrl-C" in said.read_text() or process.poll() is not None, seconds=30)
            assert process.poll() is None, server.raw_log
            yield server
            assert server.end() == 0
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program)
        yield running
        running.close()


class Visit:
    """A visit to the page, and what went wrong on it."""

    def __init__(self, browser: Browser, server: Server, width: int) -> None:
        self.base = f"http://{server.bind}"
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, permissions=["clipboard-read", "clipboard-write"]
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.complaints: list[str] = []
        self.expected: list[str] = []
        """Parts of complaints that are meant: a refusal that is provoked is also a line on the console."""
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._check_host)
        self.page.goto(self.base)
        self.page.wait_for_selector("body[data-ready]")
        self.settle()

    def _note(self, said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            self.complaints.append(said.text)

    def _check_host(self, request: Request) -> None:
        if not request.url.startswith((self.base + "/", "blob:", "data:")):
            self.complaints.append(f"foreign: {request.url}")

    def settle(self, text: str = "") -> None:
        """Wait until the picture is the one that the URL, which holds ``text``, stands for."""
        self.page.locator("#url", has_text=text).wait_for()
        self.page.wait_for_selector("#stage:not(.loading) #after[src]")
        self.page.wait_for_selector("#facts dd")

    @property
    def pixels(self) -> str:
        """A fingerprint of the picture that is shown."""
        return self.page.evaluate(
            """async () => {
                const bitmap = await createImageBitmap(document.getElementById("after"));
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
                canvas.getContext("2d").drawImage(bitmap, 0, 0);
                return canvas.toDataURL();
            }"""
        )

    def end(self) -> None:
        self.context.close()
        assert [each for each in self.complaints if not any(part in each for part in self.expected)] == []


@pytest.fixture
def visit(request: pytest.FixtureRequest, browser: Browser, demo: Server) -> Iterator[Visit]:
    visit = Visit(browser, demo, getattr(request, "param", 1280))
    yield visit
    visit.end()


def group(page: Page, name: str) -> None:
    page.locator("details.group > summary", has_text=name).click()


def test_a_control_is_dragged_and_the_url_copied(visit: Visit, demo: Server) -> None:
    page, before = visit.page, visit.pixels
    group(page, "Look")
    slider = page.locator("#c-blur input[type=range]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    visit.settle("bl:")
    until(lambda: visit.pixels != before, seconds=20)
    assert page.locator("#c-blur").evaluate("it => it.classList.contains('changed')")
    page.click("#copy-url")
    url = page.evaluate("navigator.clipboard.readText()")
    assert url == page.locator("#url").inner_text()
    answer = demo.ask(url.removeprefix(visit.base))
    assert (answer.status, answer.picture.width) == (200, 1200)
    # And back again: what is as it would be without being said is not said.
    page.click("#c-blur .undo")
    page.locator("#url", has_text=re.compile(r"^((?!bl:).)*$")).wait_for()
    until(lambda: visit.pixels == before, seconds=20)


def test_facts_timings_and_the_accept_switch(visit: Visit) -> None:
    page = visit.page
    facts = page.locator("#facts")
    assert f"1200 {X} 780" in facts.inner_text()
    assert "AVIF" in facts.inner_text()
    page.fill("#c-resize-width", "1111")
    visit.settle(":1111:")
    page.locator("#facts", has_text=f"1111 {X} 780").wait_for()
    page.locator("#legend", has_text="encode").wait_for()
    page.locator("#accept label", has_text="neither").click()
    page.locator("#facts", has_text="JPEG").wait_for()
    page.locator("#accept label", has_text="WebP").click()
    page.locator("#facts", has_text="WEBP").wait_for()
    page.locator("#accept label", has_text="neither").click()
    page.locator("#facts", has_text="memory").wait_for()
    slide = page.locator("#slide")
    slide.focus()
    page.keyboard.press("End")
    assert page.locator("#wipe").evaluate("it => it.style.getPropertyValue('--wipe')") == "100%"
    for kind in ("<picture>", "CSS", "Preset", "Next.js", "Nuxt", "Django", "Rails", "curl", "srcset"):
        page.locator("#kinds button", has_text=kind).click()
        page.locator(f"#kinds button[aria-pressed=true]:has-text('{kind}')").wait_for()
    page.locator("#snippet", has_text="srcset=").wait_for()


def test_a_clients_url_comes_back_into_the_controls(visit: Visit) -> None:
    page = visit.page
    page.fill("#paste", CLIENT_URL)
    page.press("#paste", "Enter")
    visit.settle("tomatoes.jpg")
    assert "another key or salt" in page.locator("#said").inner_text()
    shown = {
        name: page.input_value(f"#c-{name}") for name in ("resize-type", "resize-width", "resize-height", "dpr-ratio")
    }
    assert shown == {"resize-type": "fill", "resize-width": "300", "resize-height": "200", "dpr-ratio": "2"}
    assert [page.input_value(f"#c-gravity-{name}") for name in ("type", "x", "y")] == ["fp", "0.25", "0.75"]
    assert (page.input_value("#c-format-format"), page.input_value("#c-quality-percent")) == ("webp", "70")
    assert page.locator("#samples button[aria-pressed=true]").get_attribute("aria-label") == "tomatoes.jpg"
    page.locator("#facts", has_text=f"600 {X} 400").wait_for()
    # A part of the URL leads to its control.
    page.locator("#url .part", has_text="q:70").click()
    assert (
        page.evaluate("document.activeElement.id || document.activeElement.ariaLabel")
        .lower()
        .startswith(("c-quality", "quality"))
    )
    page.reload()
    visit.settle("rs:fill:300:200")


def test_the_focal_point_is_dragged_and_moved_by_keys(visit: Visit) -> None:
    page = visit.page
    page.locator("#view label", has_text="Focal point").click()
    page.wait_for_selector("#focus img[src]")
    box = page.locator("#focus").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] * 3 / 4, steps=5)
    page.mouse.up()
    visit.settle("g:fp:0.25:0.75")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    visit.settle("g:fp:0.27:0.65")
    assert page.locator(".point").get_attribute("aria-valuetext") == "27 % across, 65 % down"


def test_reasons_stand_where_the_mistake_is(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    page.fill("#find", "quality")
    page.fill("#c-quality-percent", "300")
    page.locator("#c-quality .wrong", has_text="expected a whole number, 0 to 100").wait_for()
    assert "expected a whole number" in page.locator("#failure").inner_text()
    page.fill("#c-quality-percent", "30")
    visit.settle("q:30")
    assert not page.locator("#failure").is_visible()
    visit.expected = ["404", "415"]
    page.fill("#paste", "local:///missing.jpg")
    page.press("#paste", "Enter")
    page.locator("#failure", has_text="404").wait_for()
    (tmp_path / "photo.png").write_bytes(charts.quadrants(300, 200))
    (tmp_path / "photo.txt").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "photo.png")
    visit.settle("dropped-")
    page.locator("#facts", has_text=f"of 300 {X} 200").wait_for()
    page.set_input_files("#file", tmp_path / "photo.txt")
    page.locator("#said.wrong", has_text="This is no picture").wait_for()


def test_a_preset_is_broken_and_mended(visit: Visit) -> None:
    page = visit.page
    page.click("#tab-presets")
    page.locator("table img").first.wait_for()
    assert page.locator("tbody tr").count() == 6
    page.get_by_text("Edit a file").click()
    page.select_option("#which", "shop.toml")
    page.locator("p.status.good", has_text="as it is running").wait_for()
    text = page.input_value("#toml")
    broken = text.replace('background = "#ffffff"', 'backgroud = "#ffffff"')
    line = text[: text.index("background =")].count("\n") + 1
    page.fill("#toml", broken)
    page.locator(".mistakes button", has_text="did you mean 'background'?").wait_for()
    assert page.locator(".mistakes code").first.inner_text() == f"shop.toml:{line}:1"
    assert page.locator(".gutter .bad").first.inner_text() == str(line)
    page.locator(".mistakes button").first.click()
    assert page.locator("#toml").evaluate("it => it.selectionStart") == broken.index("backgroud")
    page.fill("#toml", text.replace('"#ffffff"', '"#ff0000"'))
    page.locator("p.status.good", has_text="Changed: tile, zoom").wait_for()
    page.locator("figcaption", has_text=re.compile(r"difference . 8 · \d+ %.* of the pixels")).wait_for()
    with page.expect_download() as download:
        page.get_by_text("Download", exact=True).last.click()
    assert download.value.suggested_filename == "shop.toml"
    assert '"#ff0000"' in Path(download.value.path()).read_text()


def test_a_preset_is_chosen(visit: Visit) -> None:
    page = visit.page
    page.select_option("#preset", "tile")
    visit.settle("pr:tile")
    page.locator("#facts", has_text=f"320 {X} 320").wait_for()
    assert "A URL may still set: width, dpr." in page.locator("#preset-about").inner_text()
    page.fill("#c-resize-width", "160")
    visit.settle("pr:tile/w:160")
    page.locator("#facts", has_text=f"160 {X} 160").wait_for()
    page.locator("#snippet", has_text="640w").wait_for()
    group(page, "Look")
    page.fill("#c-blur-sigma", "3")
    page.locator("#failure", has_text="preset 'tile' leaves these options open to URLs: width, dpr").wait_for()


def test_a_failing_url_is_explained(visit: Visit) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-try"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.id") == "tab-explain"
    page.fill("#failing", "/wrong/rs:fit:300:200/plain/local:///koi.jpg")
    page.locator(".steps li.bad", has_text="another key or salt").wait_for()
    link = page.get_by_text("Open the corrected one").get_attribute("href")
    page.fill("#failing", visit.base + str(link))
    page.locator(".verdict.good").wait_for()
    assert page.locator(".steps li.good").count() > 5


@pytest.mark.parametrize("visit", [1280, 360], indirect=True)
def test_it_is_accessible_and_fits(visit: Visit) -> None:
    page = visit.page

    def check() -> None:
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        report = Axe().run(page, options={"resultTypes": ["violations"]})
        assert report.violations_count == 0, report.generate_report()
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        report = Axe().run(page, options={"resultTypes": ["violations"], "runOnly": ["color-contrast"]})
        assert report.violations_count == 0, report.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    check()
    if page.locator("#grip").is_visible():
        page.click("#grip")
    for details in page.locator("details.group").all():
        details.evaluate("it => it.open = true")
    page.fill("#c-quality-percent", "300")
    page.wait_for_selector("#failure:not([hidden])")
    check()
    page.fill("#c-quality-percent", "30")
    page.locator("#view label", has_text="Focal point").evaluate("it => it.click()")
    page.wait_for_selector("#focus img[src]")
    check()
    page.click("#tab-presets")
    page.locator("table img").first.wait_for()
    check()
    page.get_by_text("Edit a file").click()
    page.locator("p.status.good").wait_for()
    page.fill("#toml", "version = 2")
    page.locator("p.status.bad").wait_for()
    check()
    page.click("#tab-explain")
    page.fill("#failing", "/wrong/rs:fit:300:200/plain/local:///koi.jpg")
    page.locator(".steps li.bad").wait_for()
    check()


def test_an_unlabelled_button_would_be_seen(visit: Visit) -> None:
    visit.page.locator("#copy-url").evaluate("it => it.textContent = ''")
    report = Axe().run(visit.page, options={"resultTypes": ["violations"]})
    assert [each["id"] for each in report.response["violations"]] == ["button-name"]
