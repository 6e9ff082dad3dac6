"""A page as a person sees it: headless Chromium, wide and narrow."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WIDE, NARROW = (1400, 900), (360, 740)


@contextmanager
def opened(path: Path, size: tuple[int, int] = WIDE, **options: Any) -> Iterator[Any]:
    """Open a page; in the end, nothing may have been complained of in its console."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "these tests need Chromium: install it (Debian: apt-get install chromium)"
    width, height = size
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.goto(path.as_uri())
        yield page
        assert not [x for x in said if not x.startswith((path.as_uri(), "data:"))]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
