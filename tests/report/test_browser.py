"""The page as a browser shows it: figures that have a size, no error, no request, nothing wider than a phone."""

import html
import json
import re
import shutil
import subprocess

import pytest

from tardiff.report.evaluation import Evaluation
from tardiff.report.page import render

from .extended import extended

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --hide-scrollbars --enable-logging=stderr --virtual-time-budget=4000 --dump-dom"
).split()
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
MEASURE = """<script>
addEventListener("error", e => errors.push(e.message)); var errors = [];
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(d => d.open = OPEN);
  const width = document.documentElement.scrollWidth;
  const sizes = [...document.querySelectorAll("figure > :not(details) svg")].map(s => s.getBoundingClientRect()).map(b => [b.width, b.height]);
  const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 1);
  const measured = {width, inner: innerWidth, errors, sizes, wide: wide.map(e => e.tagName + "." + e.getAttribute("class")),
    asked: performance.getEntriesByType("resource").map(r => r.name), page: getComputedStyle(document.body).backgroundColor};
  document.body.innerHTML = "<pre id=measured></pre>";
  document.getElementById("measured").textContent = JSON.stringify(measured);
});
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian's package chromium)")


def browse(page, folder, *flags):
    """What the browser made of the page, and its log."""
    folder.mkdir(exist_ok=True)
    (folder / "page.html").write_text(page, encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *FLAGS, profile, *flags, f"file://{folder / 'page.html'}"], capture_output=True, text=True, timeout=120
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def measure(page, folder, width, *flags, opened="true"):
    """Sizes and requests, by a script in a copy of the page that allows one."""
    copy = POLICY.sub("", page).replace("</head>", MEASURE.replace("OPEN", opened) + "</head>")
    dom, _ = browse(copy, folder, f"--window-size={width},900", *flags)
    return json.loads(html.unescape(re.search(r'<pre id="measured">(.*?)</pre>', dom, re.S).group(1)))


@pytest.fixture(scope="module")
def page(evaluated):
    result, curves = (json.loads((evaluated / name).read_text()) for name in ("metrics.json", "figures.json"))
    return render(Evaluation(extended(result), curves), "here")


def test_nothing_is_blocked_or_wrong(page, tmp_path):
    dom, complaints = browse(page, tmp_path / "a")
    assert dom.count("<figure") == page.count("<figure")
    assert complaints == []
    _, complaints = browse(page.replace("<main>", "<main><script>alert(1)</script><img src='http://127.0.0.1:9/x.png'>"), tmp_path / "b")
    assert len([line for line in complaints if "Content Security Policy" in line]) >= 2, "the policy would have blocked it"


@pytest.mark.parametrize("width", [420, 1200])
def test_every_figure_is_there_and_fits(width, page, tmp_path):
    found = measure(page, tmp_path / "a", width)
    assert found["inner"] == width
    assert found["width"] <= width
    assert found["wide"] == []
    assert found["errors"] == []
    assert found["asked"] == []
    assert len(found["sizes"]) > 50
    assert all(w > 10 and h > 5 for w, h in found["sizes"])


def test_what_is_measured_can_be_seen(page, tmp_path):
    found = measure(page.replace("<main>", '<main><p style="width:600px">x</p><img src="http://127.0.0.1:9/x.png">'), tmp_path / "a", 420)
    assert found["width"] > 420
    assert found["wide"]
    assert found["asked"] == ["http://127.0.0.1:9/x.png"]


def test_dark(page, tmp_path):
    light = measure(page, tmp_path / "a", 420)
    dark = measure(page, tmp_path / "b", 420, "--force-dark-mode")
    assert light["page"] == "rgb(251, 250, 248)"
    assert dark["page"] == "rgb(20, 23, 26)"
