"""report.html, as a reader's browser shows it."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ltb.report import command as report
from ltb.report import page
from tests.support import browser as browsers
from tests.support.ledgers import PRUNABLE, write_run

ROOT = Path(report.__file__).parents[2]
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><script>alert(3)</script>",
    "{{ 7 * 7 }}",
)


def kept_by_layers(level):
    left = round(PRUNABLE * 0.8**level)
    first, second = left // 2, left // 4
    return {"first.weight": (first, 500), "second.weight": (second, 250), "output.weight": (left - first - second, 250)}


def make(folder, methods=("imp", "one_shot", "random"), seeds=3, levels=5, settings=None, **given):
    """Runs of some methods, the later the worse, with their layers, costs and settings."""
    for m, method in enumerate(methods):
        for seed in range(seeds):
            write_run(
                folder / f"{m}-{seed}",
                levels,
                method=method,
                seed=seed,
                run_id=f"{method}-s{seed}-abc",
                accuracy=lambda level, m=m, seed=seed: (
                    0.7 + 0.01 * seed - 0.01 * m * level + 0.001 * (level * seed % 3)
                ),
                extra=lambda level: {"search_steps": 2000 * level, "step_flops": 1e6},
                config={"method": method, **(settings or {})},
                layers=kept_by_layers,
                **given,
            )
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The report on three methods, of which one run failed and one goes on."""
    runs = make(tmp_path_factory.mktemp("study"))
    config = {"method": "imp"}
    write_run(
        runs / "failed", 2, state="failed", error="RuntimeError: <b>boom</b>\nx", planned=5, seed=7, config=config
    )
    write_run(runs / "running", 3, state="running", planned=5, seed=8, config=config)
    report.report([runs], title="Which is best?")
    return runs / "report.html"


@pytest.fixture(scope="module")
def opened():
    if browsers.CHROMIUM is None:
        pytest.skip("no chromium here: Debian has it as `chromium`")
    with browsers.browser() as one:
        yield one


FIGURES = "[...document.querySelectorAll('[data-figure]')]"


def test_it_asks_the_network_for_nothing(study, opened):
    opened.open(study)
    assert opened.requested == [study.resolve().as_uri()]
    assert opened.complaints == []
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", study.read_text())


def test_no_script_runs_but_its_own(study, opened):
    """The policy is tried from within: neither an element that was slipped in nor eval is obeyed."""
    opened.open(study)
    opened.run("window.ran = []")
    opened.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"ran.push(1)\">');"
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'ran.push(2)'}))"
    )
    assert opened.run("(() => { try { return eval('1') } catch (error) { return error.name } })()") == "EvalError"
    assert opened.run("fetch('https://example.org').then(() => 'fetched', () => 'refused')") == "refused"
    assert opened.run("ran") == []


def test_every_figure_is_drawn(study, opened):
    opened.open(study)
    drawn = opened.run(
        f"{FIGURES}.map(place => [place.closest('figure').querySelector('h3').textContent,"
        " place.querySelectorAll('.mark-line.role-mark path').length,"
        " place.querySelectorAll('.mark-symbol.role-mark path').length])"
    )
    means, seeds = 3 * 5, 9 * 5 + 2 + 3
    assert [title for title, *_ in drawn] == [
        "Test accuracy against density",
        "Early-stop step against density",
        "Test accuracy relative to dense",
        "Density of each layer",
        "Test accuracy against training in all",
    ]
    assert [lines for _, lines, _ in drawn] == [3, 3, 3, 0, 0]
    # A mean has its mark and an invisible one for the pointer; the last figures show one level, that of layers 3 layers of it.
    density = 2 * means + seeds
    assert [marks for *_, marks in drawn] == [density, density, density, 2 * 3 * 3, 2 * 3]


def opacities(opened, kind="line"):
    """Curve → opacity of its line in the first figure, told apart by the colour of its button."""
    return dict(
        opened.run(
            f"""(() => {{
              const colour = (path) => getComputedStyle(path).stroke;
              const lines = [...document.querySelectorAll('#figure0 .mark-{kind}.role-mark path')];
              return [...document.querySelectorAll('[data-curve]')].map(button => [
                button.dataset.curve,
                Number(getComputedStyle(lines.find(line => colour(line) === colour(button.querySelector('path')))).opacity),
              ]);
            }})()"""
        )
    )


def click(opened, curve, **keys):
    event = json.dumps({"bubbles": True, **keys})
    opened.run(
        f"[...document.querySelectorAll('[data-curve]')].find(one => one.dataset.curve === {json.dumps(curve)})"
        f".dispatchEvent(new MouseEvent('click', {event}))"
    )


def settled(opened, wanted):
    opened.run("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert {curve for curve, opacity in opacities(opened).items() if opacity == 1} == wanted


def test_the_legend_isolates_a_curve_and_adds_others(study, opened):
    opened.open(study)
    settled(opened, {"imp", "one_shot", "random"})
    click(opened, "imp")
    settled(opened, {"imp"})
    assert opacities(opened)["random"] < 0.2
    assert opened.run("document.querySelector('[data-curve=imp]').getAttribute('aria-pressed')") == "true"
    click(opened, "random", shiftKey=True)
    settled(opened, {"imp", "random"})
    click(opened, "imp", shiftKey=True)
    settled(opened, {"random"})
    click(opened, "random")
    settled(opened, {"imp", "one_shot", "random"})
    click(opened, "one_shot")
    opened.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    settled(opened, {"imp", "one_shot", "random"})


def test_the_pointer_finds_the_nearest_mean_and_its_seeds(study, opened):
    opened.open(study)
    x, y = opened.run(
        "(() => { document.documentElement.style.scrollBehavior = 'auto';"
        " const place = document.querySelector('#figure0 .chart'); place.scrollIntoView({block: 'center'});"
        " const box = place.getBoundingClientRect(); return [box.right - 20, box.bottom - 90] })()"
    )
    opened.point(x, y)
    opened.until("document.querySelector('#vg-tooltip-element.visible') !== null")
    told = opened.run(
        "Object.fromEntries([...document.querySelectorAll('#vg-tooltip-element tr')].map(row =>"
        " [...row.querySelectorAll('td')].map(cell => cell.textContent)))"
    )
    assert told == {
        "curve": "random",
        "density": "41 %",
        "mean": "63.10 %",
        "95 % interval": "60.37 to 65.83 %",  # 63.1 ± t(0.975, 2) · 1.1 / √3
        "n": "3",
        "by seed": "0: 62.00, 1: 63.10, 2: 64.20",
    }


@pytest.mark.parametrize("figure", ["figure3", "figure4"])
def test_the_slider_goes_through_the_densities(study, opened, figure):
    opened.open(study)
    heights = f"[...document.querySelectorAll('#{figure} .mark-symbol.role-mark path')].map(path => path.getAttribute('transform'))"
    before = opened.run(heights)
    opened.run(
        f"(() => {{ const slider = document.querySelector('[data-stop={figure}]'); slider.value = 0;"
        " slider.dispatchEvent(new Event('input', {bubbles: true})) })()"
    )
    opened.until(f"JSON.stringify({heights}) !== {json.dumps(json.dumps(before, separators=(',', ':')))}")
    assert opened.run(f"document.querySelector('#{figure} .stop output').textContent") == "80 %"


def test_a_phone_has_no_sideways_scrolling(study, opened):
    opened.open(study, width=360, height=780)
    assert opened.run("document.documentElement.scrollWidth") <= 360
    widths = opened.run(f"{FIGURES}.map(place => place.querySelector('svg').getBoundingClientRect().width)")
    assert all(250 < width <= 360 for width in widths)


def contrast(opened, selector, place="document.body"):
    """WCAG 2's contrast of an element's text with the page behind it."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    element = f"document.querySelector({json.dumps(selector)})"
    text = opened.run(
        f"(style => style.fill !== 'rgb(0, 0, 0)' ? style.fill : style.color)(getComputedStyle({element}))"
    )
    ground = opened.run(f"getComputedStyle({place}).backgroundColor")
    bright, dim = sorted([luminance(text), luminance(ground)], reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_charts_follow_the_scheme(study, opened, scheme):
    opened.open(study, prefers_color_scheme=scheme)
    ground = opened.run("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 24, 26)"}[scheme]
    for selector in (
        "h1",
        ".meta",
        "figcaption",
        "thead th",
        "#figure0 .role-axis-label text",
        "#figure0 .role-axis-title text",
    ):
        assert contrast(opened, selector) >= 4.5, selector
    for selector in (".answer p", ".answer summary"):
        assert contrast(opened, selector, "document.querySelector('.answer')") >= 4.5, selector


def test_details_are_open_on_paper_and_closed_again_after_it(study, opened):
    opened.open(study)
    count = "document.querySelectorAll('details:not([open])').length"
    before = opened.run(count)
    opened.run("window.dispatchEvent(new Event('beforeprint'))")
    assert before > 0 == opened.run(count)
    opened.run("window.dispatchEvent(new Event('afterprint'))")
    assert opened.run(count) == before


def test_on_a_phone_the_legend_is_within_the_margin(study, opened):
    opened.open(study, width=360, height=780)
    for name in (".legend", ".legend button"):
        ends = opened.run(
            f"(({{left, right}}) => [left, right])(document.querySelector('{name}').getBoundingClientRect())"
        )
        assert 16 <= ends[0] < ends[1] <= 344


def test_paper_is_white_whatever_the_screen_is(study, opened):
    opened.open(study, prefers_color_scheme="dark")
    opened.call(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    assert opened.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (
        opened.run("getComputedStyle(document.querySelector('#figure0 .role-axis-label text')).fill")
        == "rgb(26, 26, 26)"
    )
    assert opened.run(
        "[...document.querySelectorAll('.tools, .stop input')].every(one => getComputedStyle(one).display === 'none')"
    )
    opened.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize(
    ("figure", "title"),
    [
        ("figure0", "Test accuracy against density · toy"),
        ("figure3", "Density of each layer · toy"),
        ("figure4", "Test accuracy against training in all · toy"),
    ],
)
def test_a_figure_can_be_saved_with_title_and_legend_in_colours_that_need_no_page(
    study, opened, tmp_path, figure, title
):
    opened.open(study)
    opened.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    saved = {kind: tmp_path / f"{figure}.{kind}" for kind in ("svg", "png")}
    for kind, file in saved.items():
        opened.run(f"document.querySelector('#{figure} [data-save={kind}]').click()")
        opened.wait(file.exists)
    assert opened.complaints == []
    assert saved["png"].read_bytes().startswith(b"\x89PNG")
    svg = saved["svg"].read_text()
    assert "var(--" not in svg
    assert "#0072B2" in svg
    assert {"imp", "one_shot", "random", title} <= set(re.findall(r">([^<>]+)</text>", svg))


def test_what_a_person_typed_is_shown_and_never_obeyed(opened, tmp_path):
    script, image, end, template = HOSTILE
    methods = [script, image, end]
    runs = make(tmp_path / "runs", methods=methods, task=template, study=script, settings={end: image})
    broken = {"method": end, "task": template, "run_id": script, "config": {"method": end, end: image}}
    write_run(runs / "failed", 2, state="failed", error=image, planned=5, seed=7, **broken)
    status = json.loads((runs / "0-0" / "status.json").read_text())
    status |= {"command": ["train.py", f"+notes={image}"], "commit": end, "versions": {script: image}}
    (runs / "0-0" / "status.json").write_text(json.dumps(status))
    report.report([runs], title=end)
    opened.open(runs / "report.html")
    assert opened.complaints == []
    assert opened.requested == [(runs / "report.html").resolve().as_uri()]
    assert opened.run("document.title") == end
    assert opened.run("document.querySelector('h1').textContent") == end
    assert opened.run("document.querySelectorAll('img, script').length") == 3  # its data and its own two
    assert set(opened.run("[...document.querySelectorAll('[data-curve]')].map(one => one.textContent.trim())")) == set(
        HOSTILE[:3]
    )
    text = opened.run("document.body.textContent")
    for typed in HOSTILE:
        assert typed in text
    click(opened, image)
    settled(opened, {image})
    opened.point(
        *opened.run(
            "(() => { document.documentElement.style.scrollBehavior = 'auto';"
            " const place = document.querySelector('#figure0 .chart'); place.scrollIntoView({block: 'center'});"
            " const box = place.getBoundingClientRect(); return [box.right - 20, box.bottom - 90] })()"
        )
    )
    opened.until("document.querySelector('#vg-tooltip-element.visible') !== null")
    assert image in opened.run("document.querySelector('#vg-tooltip-element').textContent")
    assert opened.run("document.querySelectorAll('img').length") == 0
    assert opened.complaints == []


def test_unfinished_runs_are_said_before_anything_else_and_listed(study, opened):
    opened.open(study)
    alerts = opened.run("[...document.querySelectorAll('.alert')].map(one => one.textContent)")
    assert alerts == [
        "Still running: 1 of 11 runs. This report is on what they have finished so far.",
        "Failed: 1 of 11 runs. What they finished before is shown, and their errors are listed at the end.",
    ]
    assert "RuntimeError: <b>boom</b>" in opened.run("document.querySelector('#unfinished + .scroll').textContent")
    assert opened.run("document.querySelector('.meta').textContent").endswith(
        "11 runs · 9 complete · 3 curves · 5 seeds"
    )


def test_json_in_a_script_cannot_end_it():
    text = page._json({"name": "</script><!-- & \u2028 \u2029"})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == {"name": "</script><!-- & \u2028 \u2029"}


@pytest.mark.slow
def test_200_runs_of_20_levels_take_seconds_and_3_megabytes(tmp_path):
    make(tmp_path / "runs", methods=[f"method{i}" for i in range(20)], seeds=10, levels=20)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "ltb.report", "runs"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # Of a processor, not of a clock on the wall, and twice what a slow one with busy neighbours was seen to take: what must
    # not happen is a cost that grows with the square of the runs.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 50
    assert (tmp_path / "runs" / "report.html").stat().st_size < 3_000_000
