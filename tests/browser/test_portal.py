"""A person with a phone and a keyboard, and no script: from sign-up to sign-out in a real browser.

Set `SCREENSHOTS` to a folder to keep what each step looked like, in light and dark.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from tests.router.web.running import PASSWORD, Running, Stores, serve

pytestmark = pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
EMAIL = "ada@example.org"
PHONE = {"width": 360, "height": 740}
_TABS_MAX = 60


@pytest.fixture
async def web(stores: Stores, tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(stores, tmp_path / "home") as running:
        yield running


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
        opened = await context.new_page()
        problems: list[str] = []
        opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        yield opened
        await browser.close()
        # A blocked resource or a broken page shows here; statuses of our own refusals do too and are meant.
        assert [text for text in problems if "status of" not in text] == []


async def _focus(page: Page, selector: str) -> None:
    """Reach an element with the Tab key alone; it must be visible and show that it has the focus."""
    wanted = page.locator(selector).first
    await wanted.wait_for()
    for _ in range(_TABS_MAX):
        await page.keyboard.press("Tab")
        if await page.locator(f":focus-visible:is({selector})").count():
            style = "getComputedStyle(document.activeElement).outlineStyle"
            assert await page.evaluate(style) != "none"
            return
    raise AssertionError(f"{selector} can't be reached with the keyboard")


async def _type(page: Page, selector: str, text: str) -> None:
    await _focus(page, selector)
    await page.keyboard.press("Control+A")
    await page.keyboard.type(text)


async def _press(page: Page, selector: str) -> None:
    await _focus(page, selector)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def _look(page: Page, name: str) -> None:
    """No sideways scrolling on a phone, one heading, a named page, every field labelled; and a picture if wanted."""
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name} is {wide} pixels too wide"
    assert await page.locator("h1").count() == 1
    assert await page.locator("main").count() == 1
    assert (await page.title()).endswith("· ValueAPI")
    for field in await page.locator("input:not([type=hidden])").all():
        assert await field.evaluate("element => element.labels.length"), name
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            await page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)


async def test_sign_up_to_sign_out_by_keyboard_on_a_phone(web: Running, page: Page) -> None:
    await page.goto(web.base + "/")
    assert page.url == web.base + "/portal/sign-in"
    await _look(page, "1-sign-in")
    await _press(page, "a[href='/portal/sign-up']")
    await _look(page, "2-sign-up")
    await _type(page, "#email", EMAIL)
    assert await page.locator("input[type=password]").count() == 0
    await _press(page, "main button")
    await _look(page, "3-mail-sent")

    await page.goto(await web.link("confirm"))
    await _look(page, "4-confirm")
    await _type(page, "#password", EMAIL)
    await _press(page, "main button")
    assert "must not be" in await page.inner_text("[role=alert]")
    assert await page.get_attribute("#password", "aria-invalid") == "true"
    await _look(page, "4-confirm-refused")
    await _type(page, "#password", PASSWORD)
    await _press(page, "main button")
    assert "Your address is confirmed" in await page.inner_text("[role=status]")

    await _type(page, "#email", EMAIL)
    await _type(page, "#password", "a wrong passphrase")
    await _press(page, "main button")
    assert "is wrong" in await page.inner_text("[role=alert]")
    await _look(page, "5-refused")
    assert await page.input_value("#email") == EMAIL
    assert await page.input_value("#password") == ""
    await _type(page, "#password", PASSWORD)
    await _press(page, "main button")
    assert page.url == web.base + "/portal/"
    await _look(page, "6-overview")

    await _press(page, "nav a[href='/portal/keys']")
    await _type(page, "#name", "laptop")
    await _press(page, "main button")
    await _look(page, "7-new-key")
    secret = await page.inner_text("#secret")
    assert str((await web.context.directory.find(secret)).role) == "user"
    await _press(page, "main a.button")
    await _look(page, "8-keys")
    assert secret not in await page.content()

    await _press(page, "a[href$='/revoke']")
    await _look(page, "9-revoke")
    await _press(page, "main button")
    assert "revoked" in await page.inner_text("[role=status]")
    assert web.context.directory.cached(secret) is None
    await _look(page, "10-revoked")

    await _press(page, "nav a[href='/portal/data-policy']")
    await _focus(page, "input[name=deny_collection]")
    await page.keyboard.press("Space")
    await _press(page, "main button")
    assert await page.is_checked("input[name=deny_collection]")
    await _look(page, "11-data-policy")

    await _press(page, ".top button")
    assert page.url == web.base + "/portal/sign-in?done=signed-out"
    await page.goto(web.base + "/portal/keys")
    assert page.url == web.base + "/portal/sign-in"


async def test_the_skip_link_comes_first(web: Running, page: Page) -> None:
    await page.goto(web.base + "/portal/sign-in")
    await page.keyboard.press("Tab")
    assert await page.locator(":focus").inner_text() == "Skip to content"
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert await page.locator(":focus").get_attribute("id") == "email"


async def test_another_site_cant_send_our_forms(web: Running, page: Page) -> None:
    """A real browser on a real foreign page: same browser, same cookies, other origin."""
    await web.person(EMAIL)
    await page.goto(web.base + "/portal/sign-in")
    await page.fill("#email", EMAIL)
    await page.fill("#password", PASSWORD)
    async with page.expect_navigation():
        await page.click("main button")
    token = await page.locator("[name=form_token]").first.get_attribute("value")
    foreign = web.base.replace("127.0.0.1", "localhost")
    form = f"<form method=post action='{web.base}/portal/sign-out'><input name=form_token value='{token}'><button>x</button>"
    await page.route(foreign + "/evil", lambda route: route.fulfill(body=form, content_type="text/html"))
    await page.goto(foreign + "/evil")
    async with page.expect_navigation():
        await page.click("button")
    assert "Not allowed" in await page.inner_text("h1")
    await page.goto(web.base + "/portal/")
    assert page.url == web.base + "/portal/"
