"""The page of `minigrad explain` in a real Chromium: what is displayed, step by step, is what minigrad computes.

With MINIGRAD_SCREENSHOTS set to a folder, pictures are left there for somebody to look at.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.viz.explainer import explain
from minigrad.viz.explainer.explanation import Explanation, number
from minigrad.viz.explainer.methods import OPERATIONS
from tests.browser import Browser, needs_browser

pytestmark = needs_browser
NAMES = list(OPERATIONS)
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory):
    """Name → the explanation and its page, each made once."""
    folder = tmp_path_factory.mktemp("pages")
    made: dict[str, tuple[Explanation, Path]] = {}

    def page(name: str) -> tuple[Explanation, Path]:
        if name not in made:
            explanation = explain(name)
            made[name] = explanation, explanation.save(folder / f"{name}.html")
        return made[name]

    return page


# -- reading the page ---------------------------------------------------------------------------------------

TENSORS = """Object.fromEntries([...document.querySelectorAll("SCOPE [data-tensor]")].map(
    (t) => [t.dataset.tensor, [...t.querySelectorAll("td[data-value]")].map((c) => c.textContent)]))"""


def tensors(browser: Browser, scope: str = "") -> dict[str, list[str]]:
    """The numbers of every tensor that is displayed, as they are printed."""
    return browser.run(TENSORS.replace("SCOPE", scope))


def check(texts: list[str], array: Any, what: str = "") -> None:
    """Is `array` what is printed, to the last digit?"""
    values = np.ravel(array).astype(float)
    assert len(texts) == len(values), what
    for text, value in zip(texts, values.tolist(), strict=True):
        if not np.isfinite(value):
            assert text == ("NaN" if np.isnan(value) else "∞" if value > 0 else "−∞"), what
            continue
        text = text.replace("−", "-")
        mantissa, _, power = text.partition("e")
        unit = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
        assert abs(float(text) - value) <= 0.5 * unit * (1 + 1e-6), f"{what}: {text} for {value}"
        assert power or value == 0 or 1e-3 <= abs(value) < 1e4, f"{what}: {text} for {value}"


def check_panel(browser: Browser, explanation: Explanation, on: Any = ()) -> set[str]:
    """Compare every tensor in the panel with minigrad's; returns which there were."""
    v = explanation.variation(on)
    shown = tensors(browser, "#panel")
    for id, texts in shown.items():
        kind, _, rest = id.partition("-")
        if kind == "value":
            array = v.walk.values[rest].array
        elif kind in ("grad", "above"):
            array = v.gradients.of[rest]
        else:
            assert kind == "sent"
            array = v.gradients.sent[tuple(rest.split("-"))]
        check(texts, array, id)
    return set(shown)


def keep(browser: Browser, name: str, whole: bool = False) -> None:
    folder = os.environ.get("MINIGRAD_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.screenshot(Path(folder, name + ".png"), whole)


# -- the walk -----------------------------------------------------------------------------------------------


@each
def test_stepping_through_shows_minigrads_numbers(browser: Browser, pages: Any, name: str):
    explanation, path = pages(name)
    walk, gradients = explanation.variation().walk, explanation.variation().gradients
    browser.open(path)
    seen: set[str] = set()
    steps = 1
    while True:
        seen |= check_panel(browser, explanation)
        assert int(browser.run("document.getElementById('slider').value")) == steps - 1
        if browser.run("document.getElementById('next').disabled"):
            break
        browser.press("ArrowRight")
        steps += 1
    computed = [v.name for v in walk.values.values() if v.function is not None]
    assert steps == 1 + len(computed) + len(walk.values)
    assert {f"value-{v}" for v in walk.values} <= seen
    assert {f"grad-{v}" for v in walk.values if gradients.of[v] is not None} <= seen
    assert {f"sent-{user}-{value}" for user, value in gradients.sent} <= seen
    assert browser.complaints == []
    assert browser.requests == [path.as_uri()], "it asked for something from outside"


@each
def test_the_sections_below_show_minigrads_numbers(browser: Browser, pages: Any, name: str):
    explanation, path = pages(name)
    browser.open(path)
    for key in ("", *(s.key for s in explanation.switches)):
        on = {key} - {""}
        if key:
            browser.run(f"document.querySelector('[data-switch=\"{key}\"]').click()")
        v, shown = explanation.variation(on), tensors(browser, "main")
        for i, (term, along) in enumerate(zip(v.closed.terms, v.paths, strict=True)):
            check(shown[f"term-{i}"], term.array, term.symbol)
            check(shown[f"path-{i}"], along, term.path)
        main = v.ways[v.walk.leaves[0]]
        check(shown["closed"], main.closed)
        check(shown["staged"], main.staged)
        for leaf, way in v.ways.items():
            for label in ("staged", "closed", "engine", "fused", "numeric"):
                if getattr(way, label) is not None:
                    check(shown[f"way-{leaf}-{label}"], getattr(way, label), f"{leaf} {label}")
                else:
                    assert f"way-{leaf}-{label}" not in shown
        for what, change in explanation.changes(on).items():
            assert (f"now-{what}" in shown) == (bool(on) and change.happened)
            if f"now-{what}" in shown:
                check(shown[f"right-{what}"], change.right, what)
                check(shown[f"now-{what}"], change.now, what)
                check(shown[f"moved-{what}"], change.now - change.right, what)
        text = browser.run("document.getElementById('verdict').innerText")
        assert [line for line in text.splitlines() if line] == explanation.verdict(on)
        if key:
            browser.run(f"document.querySelector('[data-switch=\"{key}\"]').click()")
    assert browser.complaints == []


def test_a_broken_walk_is_walked(browser: Browser, pages: Any):
    """With two switches on, thrown by the mouse, the steps show the cut and the wrong gradients."""
    explanation, path = pages("batch_norm")
    browser.open(path)
    for key in ("mean", "two"):
        browser.click(f'[data-switch="{key}"]')
        assert browser.run(f"document.querySelector('[data-switch=\"{key}\"]').ariaChecked") == "true"
    assert "treat the mean as a constant; batch of two" in browser.run("document.getElementById('broken').innerText")
    browser.run("document.activeElement.blur()")
    browser.press("End")
    while not browser.run("document.getElementById('previous').disabled"):
        check_panel(browser, explanation, {"mean", "two"})
        browser.press("ArrowLeft")
    browser.press("End")
    panel = browser.run("document.getElementById('panel').innerText")
    assert "μ counts as a constant: nothing comes back from it" in panel
    assert browser.run("document.getElementById('edge-x-mu').classList.contains('cut')")
    keep(browser, "broken-1280", whole=True)
    for key in ("mean", "two"):
        browser.click(f'[data-switch="{key}"]')
    assert browser.run("document.getElementById('broken').hidden")
    check_panel(browser, explanation)
    assert browser.complaints == []


def test_a_flat_group_without_epsilon_shows_nan(browser: Browser, pages: Any):
    explanation, path = pages("batch_norm")
    browser.open(path)
    for key in ("flat", "eps"):
        browser.click(f'[data-switch="{key}"]')
    check_panel(browser, explanation, {"flat", "eps"})
    assert "NaN" in tensors(browser)["closed"]
    assert browser.run("document.querySelectorAll('td.bad').length") > 0
    assert browser.complaints == []


def test_keys_slider_and_nodes(browser: Browser, pages: Any):
    explanation, path = pages("batch_norm")
    browser.open(path)

    def where() -> str:
        return browser.run("document.getElementById('where').textContent")

    assert where() == "the inputs"
    browser.press("End")
    assert where() == "back: ∂L/∂x"
    browser.press("Home")
    browser.press("ArrowRight")
    assert where() == "μ = (1/4) Σ x"
    browser.run("document.getElementById('slider').focus()")
    browser.press("ArrowRight")  # the slider's own
    assert where() == "d = x − μ"
    browser.run("document.getElementById('node-x_hat').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert where() == "x̂ = d / s"
    browser.click("#next")
    assert where() == "a = γ · x̂"
    # A switch by keyboard alone.
    browser.run("document.querySelector('[data-switch=\"mean\"]').focus()")
    browser.press(" ")
    assert browser.run("document.querySelector('[data-switch=\"mean\"]').ariaChecked") == "true"
    check_panel(browser, explanation, {"mean"})


def test_the_graph_follows(browser: Browser, pages: Any):
    _, path = pages("batch_norm")
    browser.open(path)
    browser.run("go(6)")  # x̂
    marked = "[...document.querySelectorAll('.node.MARK')].map((n) => n.id)"
    assert browser.run(marked.replace("MARK", "now")) == ["node-x_hat"]
    assert set(browser.run(marked.replace("MARK", "pending"))) == {"node-a", "node-y"}
    assert browser.run("[...document.querySelectorAll('.edge.now')].map((n) => n.id).sort().join()") == (
        "edge-d-x_hat,edge-s-x_hat"
    )
    browser.press("End")
    assert browser.run(marked.replace("MARK", "now")) == ["node-x"]
    assert len(browser.run(marked.replace("MARK", "got"))) == 11
    assert browser.run("[...document.querySelectorAll('.edge.now')].map((n) => n.id).sort().join()") == (
        "edge-x-d,edge-x-mu"
    )


def test_who_shares(browser: Browser, pages: Any):
    _, path = pages("batch_norm")
    browser.open(path)
    counts = """Object.fromEntries([...document.querySelectorAll("[data-block]")].map(
        (b) => [b.dataset.block, b.querySelectorAll("polygon.in").length]))"""
    assert browser.run(counts) == {"batch_norm": 9, "layer_norm": 12, "instance_norm": 3, "group_norm": 6}
    browser.click('[data-block="layer_norm"] polygon[data-i="17"]')  # sample 2, channel 2, place 3
    assert browser.run("document.getElementById('picked').textContent") == "sample 2, channel 2, place 3"
    rows = "[...document.querySelectorAll('[data-block=\"batch_norm\"] polygon.in')].map((p) => +p.dataset.i)"
    assert browser.run(rows) == [3, 4, 5, 15, 16, 17, 27, 28, 29]
    # In the walk, pointing at a statistic lights up those who share it.
    browser.run("go(1)")
    browser.run("""document.querySelector('#panel td[data-statistic="mu"][data-i="1"]')
        .dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))""")
    lit = "[...document.querySelectorAll('[data-tensor=\"value-x\"] td.lit')].map((c) => +c.dataset.element)"
    assert browser.run(lit) == [1, 3, 5, 7]


# -- for everybody ------------------------------------------------------------------------------------------

CONTRAST = """(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (a, b) => a.slice(0, 3).map((v, i) => v * a[3] + b[i] * (1 - a[3])).concat(1);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const bright = (c) => 0.2126 * linear(c[0] / 255) + 0.7152 * linear(c[1] / 255) + 0.0722 * linear(c[2] / 255);
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest("svg, script, noscript, [hidden], .skip, :disabled") || !e.getClientRects().length) continue;
    const layers = [];
    for (let p = e; p; p = p.parentElement) layers.unshift(parse(getComputedStyle(p).backgroundColor));
    const paper = layers.reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    const ink = over(parse(getComputedStyle(e).color), paper);
    const [high, low] = [bright(ink), bright(paper)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) bad.push(`${e.tagName} ${e.className} "${e.textContent.slice(0, 30)}" ${ratio.toFixed(2)}`);
  }
  return bad;
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast(browser: Browser, pages: Any, dark: bool):
    _, path = pages("batch_norm")
    browser.open(path, dark=dark)
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(251, 250, 247)")
    for step in ("0", "4", "steps().length - 1"):
        browser.run(f"go({step})")
        assert browser.run(CONTRAST) == []
    for key in ("mean", "flat", "eps"):
        browser.run(f"document.querySelector('[data-switch=\"{key}\"]').click()")
    assert browser.run(CONTRAST) == []


@each
def test_everything_has_a_name(browser: Browser, pages: Any, name: str):
    """What can be operated or is a picture has a name for those who do not see it, and the document is in order."""
    _, path = pages(name)
    browser.open(path)
    browser.run("go(3)")
    nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    browser.ask("Accessibility.disable")  # it slows the page down
    assert len(nodes) > 100
    for node in nodes:
        role = node.get("role", {}).get("value")
        if not node.get("ignored") and role in ("button", "slider", "switch", "image", "img", "figure", "link"):
            assert node.get("name", {}).get("value"), (role, node)
    assert browser.run("document.documentElement.lang") == "en"
    assert browser.run("document.querySelectorAll('h1').length") == 1
    assert browser.run("new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size") == browser.run(
        "document.querySelectorAll('[id]').length"
    )


def test_motion_can_be_reduced(browser: Browser, pages: Any):
    _, path = pages("batch_norm")
    browser.open(path)
    duration = "getComputedStyle(document.querySelector('.switch .knob')).transitionDuration"
    assert browser.run(duration) == "0s"
    browser.scheme(False, still=False)
    assert browser.run(duration) != "0s"


@each
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_a_desktop(browser: Browser, pages: Any, name: str, width: int):
    _, path = pages(name)
    browser.open(path, width, 844 if width < 500 else 900, phone=width < 500)
    keep(browser, f"{name}-{width}-start")
    for step in range(browser.run("steps().length")):
        browser.run(f"go({step})")
        assert browser.run("document.documentElement.scrollWidth") <= width
    keep(browser, f"{name}-{width}", whole=True)
    small = """[...document.querySelectorAll("button")].map((b) => b.getBoundingClientRect())
        .filter((b) => b.width && (b.width < 44 || b.height < 44)).length"""
    assert browser.run(small) == 0
    first = browser.run("document.querySelector('.stepper').getBoundingClientRect().bottom")
    assert first <= (844 if width < 500 else 900) + 1, "the stepper is out of sight"
    browser.scheme(True)
    keep(browser, f"{name}-{width}-dark", whole=True)
    assert browser.complaints == []


def test_ties_are_rounded_as_in_the_terminal(browser: Browser, tmp_path: Path):
    """1/32 ends in a 5 that a browser rounds up, and Python to even; of 12 digits or of 16, too."""
    v = [1 / 32, 0.12125, 0.12125000000000001, -0.15625 / 2, 2.5e-5, 1.25e7, 0.99999999999999 / 1000, 9999.99995]
    explanation = explain("linear", values=np.array([v]))
    browser.open(explanation.save(tmp_path / "ties.html"))
    shown = browser.run("""[...document.querySelectorAll('[data-tensor="value-x"] td')].map(c => c.textContent)""")
    assert shown == [number(x) for x in v]
    assert all(x in explanation.text() for x in shown)


def test_classes_are_said_to_be_counted_from_0(browser: Browser, tmp_path: Path):
    browser.open(explain("softmax_cross_entropy").save(tmp_path / "softmax.html"))
    assert "(counted from 0)" in browser.run("document.getElementById('panel').textContent")


def test_a_wide_tensor_is_scrolled_by_keys(browser: Browser, tmp_path: Path):
    """The arrow keys stepped on, and a keyboard could not show the last columns."""
    path = explain("linear", shape=(1, 40)).save(tmp_path / "wide.html")
    browser.open(path, 390, 844, phone=True)
    box = "document.querySelector('[data-tensor=\"value-x\"]')"
    assert browser.run(f"{box}.tabIndex") == 0
    browser.run(f"{box}.focus()")
    browser.press("ArrowRight")
    assert browser.run("state.step") == 0
    browser.run(f"{box}.blur()")
    browser.press("ArrowRight")
    assert browser.run("state.step") == 1
