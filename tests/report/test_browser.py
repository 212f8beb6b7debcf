"""The page as a browser shows it: figures that have a size, no error, no request, nothing wider than a phone."""

import html
import json
import re
import shutil
import subprocess

import pytest

from tardiff.report.page import render

from .extended import extended, report_input

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=4000"),
    "--dump-dom",
)
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
MEASURE = """<script>
const errors = [];
addEventListener("error", e => errors.push(e.message));
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(d => d.open = true);
  const boxes = [...document.querySelectorAll("figure svg")].map(s => s.getBoundingClientRect());
  const free = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll"));
  parent.postMessage(JSON.stringify({
    inner: innerWidth,
    width: document.documentElement.scrollWidth,
    sizes: boxes.map(b => [b.width, b.height]),
    wide: free.filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + " " + e.getAttribute("class")),
    errors: errors,
    asked: performance.getEntriesByType("resource").map(r => r.name),
    page: getComputedStyle(document.body).backgroundColor,
  }), "*");
});
</script>"""
FRAME = """<!doctype html><pre id="measured"></pre><script>
addEventListener("message", e => document.getElementById("measured").textContent = e.data);
</script><iframe src="copy.html" style="width:{width}px;height:900px;border:0"></iframe>"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian's package chromium)")]


def browse(page, folder, *flags):
    """What the browser made of the page, and its log."""
    folder.mkdir(exist_ok=True)
    (folder / "page.html").write_text(page, encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *FLAGS, profile, *flags, f"file://{folder / 'page.html'}"], capture_output=True, text=True, timeout=120
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def measure(page, folder, width, *flags):
    """Sizes and requests, by a script in a copy that allows one, in a frame as wide as a screen (a window is wider than a phone)."""
    folder.mkdir()
    (folder / "copy.html").write_text(POLICY.sub("", page).replace("</head>", MEASURE + "</head>"), encoding="utf-8")
    dom, _ = browse(FRAME.format(width=width), folder, "--window-size=1400,1000", *flags)
    return json.loads(html.unescape(re.search(r'<pre id="measured">(.*?)</pre>', dom, re.S).group(1)))


@pytest.fixture(scope="module")
def page(evaluated):
    result, curves = (json.loads((evaluated / name).read_text()) for name in ("metrics.json", "figures.json"))
    return render(report_input(extended(result), curves))


def test_nothing_is_blocked_or_wrong(page, tmp_path):
    dom, complaints = browse(page, tmp_path / "a")
    assert dom.count("<figure") == page.count("<figure")
    assert complaints == []
    _, complaints = browse(page.replace("<main>", "<main><script>alert(1)</script><img src='http://127.0.0.1:9/x.png'>"), tmp_path / "b")
    assert len([line for line in complaints if "Content Security Policy" in line]) >= 2, "the policy would have blocked it"


@pytest.fixture(scope="module")
def phone(page, tmp_path_factory):
    return measure(page, tmp_path_factory.mktemp("phone") / "light", 420)


def check(found, width):
    assert found["inner"] == width
    assert found["width"] <= width
    assert found["wide"] == []
    assert found["errors"] == []
    assert found["asked"] == []
    assert len(found["sizes"]) > 50
    assert all(w > 10 and h > 5 for w, h in found["sizes"])


def test_every_figure_is_there_and_fits_a_phone(phone):
    check(phone, 420)


def test_every_figure_is_there_and_fits_a_dark_desk(phone, page, tmp_path):
    dark = measure(page, tmp_path / "a", 1200, "--force-dark-mode")
    check(dark, 1200)
    assert (phone["page"], dark["page"]) == ("rgb(251, 250, 248)", "rgb(20, 23, 26)")


def test_what_is_measured_can_be_seen(page, tmp_path):
    found = measure(page.replace("<main>", '<main><p style="width:600px">x</p><img src="http://127.0.0.1:9/x.png">'), tmp_path / "a", 420)
    assert found["width"] > 420
    assert found["wide"]
    assert found["asked"] == ["http://127.0.0.1:9/x.png"]
