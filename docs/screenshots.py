"""Takes the pictures of the playground: ``python docs/screenshots.py``. Needs Debian's Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyvips
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parent
MOST_BYTES = 150_000
SIZES = {1280: 960, 360: 720}


def main() -> None:
    command = [sys.executable, "-m", "imgproxy", "demo"]
    program = shutil.which("chromium")
    with subprocess.Popen(  # noqa: S603
        command, cwd=DOCS.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as demo:
        try:
            assert demo.stdout is not None  # noqa: S101
            base = next(found[0] for line in demo.stdout if (found := re.search(r"http://[\w.:]+", line)))
            next(line for line in demo.stdout if "Ctrl-C" in line)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program)
                for width, height in SIZES.items():
                    for scheme in ("light", "dark"):
                        viewport = {"width": width, "height": height}
                        page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
                        page.goto(base)
                        take(page, "" if (width, scheme) == (1280, "light") else f"-{width}-{scheme}")
                browser.close()
        finally:
            demo.terminate()


def take(page: Page, suffix: str) -> None:
    """The tabs, as somebody has left them who was at work."""
    page.wait_for_selector("body[data-ready]")
    page.fill("#paste", "/_/rs:fill:1100:700/c:1000:640:fp:0.64:0.42/q:45/sh:0.6/plain/local:///leaf.jpg")
    page.press("#paste", "Enter")
    page.locator("#url", has_text="leaf.jpg").wait_for()
    page.wait_for_selector("#stage:not(.loading) #before[src]")
    page.evaluate("document.getElementById('said').textContent = ''; document.activeElement.blur()")
    page.fill("#paste", "")
    page.evaluate("document.activeElement.blur()")
    page.locator("#facts", has_text="AVIF").wait_for()
    save(page, f"demo{suffix}")
    if suffix == "-360-light":
        page.click("#grip")
        page.wait_for_timeout(300)
        save(page, "demo-360-options")
    if suffix:
        return
    page.click("#tab-presets")
    page.get_by_text("Edit a file").click()
    page.locator("p.status.good").wait_for()
    text = page.input_value("#toml")
    page.fill("#toml", text.replace("sharpen = 0.4", "sharpen = 2"))
    page.locator("p.status", has_text="Changed: hero").wait_for()
    page.locator("figcaption", has_text="of the pixels").wait_for()
    page.fill("#toml", text.replace("sharpen = 0.4", "sharpen = 2").replace("blur = 1", "blurr = 1"))
    page.locator(".mistakes button").wait_for()
    save(page, "demo-presets")
    page.click("#tab-explain")
    page.fill("#failing", "/AfrOrF3gWeDA6VOlDG4TzxMv39O7MXnF4CXpKUwGqRM/rs:fill:300:200/plain/local:///koi.jpg")
    page.locator(".steps li").first.wait_for()
    save(page, "demo-explain")


def save(page: Page, name: str) -> None:
    """The screen as a PNG with a palette, and of as many colours as its limit allows."""
    shot = pyvips.Image.new_from_buffer(page.screenshot(), "")
    for bits, quality in ((8, 90), (8, 60), (8, 35), (4, 90)):
        body = shot.pngsave_buffer(palette=True, bitdepth=bits, Q=quality, dither=0.4, effort=10, compression=9)
        if len(body) < MOST_BYTES:
            break
    (DOCS / f"{name}.png").write_bytes(body)
    print(f"{name}.png: {len(body):,} bytes, {bits} bits")


if __name__ == "__main__":
    main()
