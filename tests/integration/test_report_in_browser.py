"""The page about a map, used in Chromium: opened, dragged, zoomed, typed at, on a desk and on a phone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import landmap
from landmap_models.inference.classifier import FAKE_CARD
from landmap_models.legend import EUROSAT

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class HalfClassifier:
    """Forest where chips are dark, residential where they are bright."""

    card = FAKE_CARD

    def predict(self, chips: Any) -> Any:
        bright = np.clip((chips.mean(axis=(1, 2, 3)) - 0.05) / 0.1, 0, 1)
        out = np.zeros((len(chips), len(EUROSAT)), np.float32)
        out[:, 1], out[:, 7] = 1 - bright, bright
        return out


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed: pip install selenium")
    from selenium.webdriver.chrome.service import Service

    binary = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("no Chromium with its chromedriver: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(driver))
    yield running
    running.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of 96x160 px, dark in the west and bright in the east, 8 px at its southern edge without data."""
    folder = tmp_path_factory.mktemp("map")
    values = np.full((3, 96, 160), 500, np.uint16)
    values[:, :, 80:] = 1800
    values[:, -8:] = 0
    profile = {"count": 3, "height": 96, "width": 160, "dtype": "uint16", "nodata": 0, "crs": "EPSG:32633"}
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with rasterio.open(folder / "scene.tif", "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(values)
        file.descriptions = ("B04", "B03", "B02")
        file.update_tags(PROCESSING_LEVEL="Level-1C")
    landmap.classify(
        folder / "scene.tif",
        folder / "cover.tif",
        confidence=folder / "sure.tif",
        report=folder / "report.html",
        classifier=HalfClassifier(),
        stride=8,
    )
    return folder / "report.html"


@pytest.fixture
def at_desk(browser: Any, page: Path) -> Iterator[Any]:
    """The page in a window of 1300x900 px; nothing may be complained of in the end."""
    yield from opened(browser, page, 1300, 900)


@pytest.fixture
def on_phone(browser: Any, page: Path) -> Iterator[Any]:
    yield from opened(browser, page, 390, 844)


def opened(browser: Any, page: Path, width: int, height: int) -> Iterator[Any]:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1 + (width < 600), "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": width < 600})
    browser.get(page.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def find(browser: Any, css: str) -> Any:
    return browser.find_element("css selector", css)


def clip(browser: Any) -> float:
    """Percent of the width at which the map begins."""
    return float(re.findall(r"([\d.]+)%", find(browser, "#over").value_of_css_property("clip-path"))[0])


def scale(browser: Any) -> float:
    return float(
        browser.execute_script("return new DOMMatrix(getComputedStyle(document.getElementById('cover')).transform).a")
    )


def drag(browser: Any, css: str, right: int) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser, duration=20).click_and_hold(find(browser, css)).move_by_offset(right, 0).release().perform()


def test_the_divider_moves_by_mouse_and_keys(at_desk: Any) -> None:
    assert clip(at_desk) == 50
    width = find(at_desk, "#stage").size["width"]
    drag(at_desk, "#divider", -round(width / 4))
    assert clip(at_desk) == pytest.approx(25, abs=0.5)
    divider = find(at_desk, "#divider")
    assert divider.get_attribute("role") == "slider"
    assert divider.get_attribute("aria-valuenow") == "25"
    divider.send_keys("\ue014")  # right arrow
    assert clip(at_desk) == pytest.approx(27, abs=0.5)
    divider.send_keys("\ue011")  # Home
    assert clip(at_desk) == 0
    drag(at_desk, "#divider", width + 60)
    assert clip(at_desk) == 100, "it stops at the edge"


def test_it_zooms_by_button_wheel_and_key(at_desk: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    label = find(at_desk, "#scale").text
    find(at_desk, "#in").click()
    assert scale(at_desk) == pytest.approx(1.5)
    origin = ScrollOrigin.from_element(find(at_desk, "#stage"), 100, 0)
    ActionChains(at_desk).scroll_from_origin(origin, 0, -240).perform()
    assert scale(at_desk) == pytest.approx(3)
    assert find(at_desk, "#scale").text != label
    find(at_desk, "#stage").send_keys("0")
    assert scale(at_desk) == 1
    for _ in range(12):
        find(at_desk, "#in").click()
    assert scale(at_desk) == 24, "no further"
    find(at_desk, "#all").click()
    assert scale(at_desk) == 1


def test_the_map_moves_but_not_out_of_sight(at_desk: Any) -> None:
    def left() -> float:
        return float(at_desk.execute_script("return view.x"))

    drag(at_desk, "#stage", 30)
    assert left() == 0, "all is seen: nothing to move"
    find(at_desk, "#in").click()
    start = left()
    find(at_desk, "#stage").send_keys("\ue014")
    assert left() == pytest.approx(start - 60)
    at_desk.execute_script("move(-1e6, 0)")
    width = find(at_desk, "#stage").rect["width"]
    assert left() == pytest.approx(-0.5 * width, abs=1)


def test_pictures_are_there_and_layers_change(at_desk: Any) -> None:
    for image in at_desk.find_elements("css selector", "img"):
        assert image.get_property("complete")
        assert image.get_property("naturalWidth") == 160
    assert find(at_desk, "#cover").is_displayed()
    assert not find(at_desk, "#confidence").is_displayed()
    find(at_desk, "input[value=confidence] + span").click()
    assert not find(at_desk, "#cover").is_displayed()
    assert find(at_desk, "#confidence").is_displayed()
    assert find(at_desk, "#ramp").is_displayed()
    assert not find(at_desk, "#legend").is_displayed()


def test_the_class_under_the_pointer_is_told(at_desk: Any, page: Path) -> None:
    from selenium.webdriver import ActionChains

    stage = find(at_desk, "#stage")
    size = stage.rect["width"] / 160
    with rasterio.open(page.with_name("cover.tif")) as cover, rasterio.open(page.with_name("sure.tif")) as percent:
        classes, sure = cover.read(1), percent.read(1)
    told = set()
    for row, col in ((50, 5), (30, 60), (30, 100), (70, 155)):
        right, down = round((col + 0.5 - 80) * size), round((row + 0.5 - 48) * size)
        ActionChains(at_desk, duration=0).move_to_element_with_offset(stage, right, down).perform()
        told.add(text := find(at_desk, "#readout").text)
        assert text == f"{EUROSAT.classes[classes[row, col]].name}, {sure[row, col]} %"
    assert len(told) == 4
    ActionChains(at_desk, duration=0).move_to_element_with_offset(stage, 50, round(45 * size)).perform()
    assert find(at_desk, "#readout").text == "no data"


def test_classes_are_picked_out(at_desk: Any) -> None:
    def veiled(x: int) -> int:
        code = """
        const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        context.drawImage(document.getElementById("veil"), 0, 0);
        return context.getImageData(arguments[0], 9, 1, 1).data[3];
        """
        return int(at_desk.execute_script(code, x))

    (forest,) = (b for b in at_desk.find_elements("css selector", "#legend button") if b.text == "Forest")
    forest.click()
    assert forest.get_attribute("aria-pressed") == "true"
    assert (veiled(5), veiled(155) > 200) == (0, True)
    forest.click()
    assert veiled(155) == 0


def test_a_phone_needs_no_sideways_scrolling(on_phone: Any) -> None:
    width, seen = on_phone.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= seen == 390
    for css in ("#divider", ".zoom button", "#legend button", ".choice span"):
        box = find(on_phone, css).rect
        assert box["height"] >= 28, css
        assert box["x"] >= 0, css
        assert box["x"] + box["width"] <= 390, css


def test_two_fingers_zoom(on_phone: Any) -> None:
    stage = find(on_phone, "#stage").rect
    middle = stage["x"] + stage["width"] / 4
    y = stage["y"] + stage["height"] / 2
    touch: Callable[..., Any] = on_phone.execute_cdp_cmd

    def points(apart: float) -> list[dict[str, float]]:
        return [{"x": middle - apart, "y": y, "id": 0}, {"x": middle + apart, "y": y, "id": 1}]

    touch("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points(15)})
    for apart in (20, 25, 30):
        touch("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points(apart)})
    touch("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert scale(on_phone) == pytest.approx(2, rel=0.1)


def test_nothing_from_outside_can_run(at_desk: Any) -> None:
    """The policy of the page holds even where something slipped through the escaping."""
    code = """
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    return window.ran === undefined;
    """
    assert at_desk.execute_script(code)
    complaints = at_desk.get_log("browser")
    assert any("Content Security Policy" in entry["message"] for entry in complaints)
