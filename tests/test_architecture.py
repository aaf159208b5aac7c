"""The shape of the house: families complete, names as the contract has them, tests where one looks for them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import imgproxy
from imgproxy import options
from imgproxy.options import OPTIONS, Option

ROOT = Path(__file__).parent.parent

# Spec §1.7, the rows marked OSS: long name first.
SPELLINGS = """
    resize|rs size|s resizing_type|rt width|w height|h min-width|mw min-height|mh zoom|z dpr enlarge|el extend|ex
    extend_aspect_ratio|extend_ar|exar gravity|g crop|c trim|t auto_rotate|ar rotate|rot flip|fl padding|pd
    background|bg blur|bl sharpen|sh pixelate|pix watermark|wm
    strip_metadata|sm keep_copyright|kcr strip_color_profile|scp preserve_hdr|ph enforce_thumbnail|eth
    quality|q format_quality|fq max_bytes|mb format|f|ext
    preset|pr skip_processing|skp raw cachebuster|cb cache_tags|ct expires|exp filename|fn return_attachment|att
    max_src_resolution|msr max_src_file_size|msfs max_animation_frames|maf max_animation_frame_resolution|mafr
    max_result_dimension|mrd
"""
OURS = {"min_width", "min_height", "quality_profile", "qp", "placeholder", "plh"}
"""Names beyond the contract: with an underscore, as all others are written; and what imgproxy has none of."""

PURE = (
    "geometry",
    "formats",
    "signing",
    "srcset",
    "tokens",
    "negotiation",
    "planning",
    "environment",
    "model",
    "errors",
    "etags",
    "freshness",
    "fields",
)


def test_the_spellings_are_those_of_the_contract() -> None:
    wanted = {tuple(each.split("|")) for each in SPELLINGS.split()}
    found = [spelling.names for option in OPTIONS for spelling in option.spellings]
    theirs = [names for each in found if (names := tuple(name for name in each if name not in OURS))]
    assert len(theirs) == len(wanted) == 46
    assert set(theirs) == wanted


def test_no_name_is_used_twice() -> None:
    names = [name for option in OPTIONS for spelling in option.spellings for name in spelling.names]
    assert len(names) == len(set(names))


def test_every_option_in_its_folder_is_in_the_tuple() -> None:
    modules = {each.name for each in pkgutil.iter_modules(options.__path__)} - {"base", "values", "canvas"}
    found: list[type[Option]] = []
    for name in modules:
        module = importlib.import_module(f"imgproxy.options.{name}")
        own = [
            each
            for each in vars(module).values()
            if inspect.isclass(each) and issubclass(each, Option) and each.__module__ == module.__name__
        ]
        assert len(own) == 1, f"{name} should define one option"
        found += own
    assert set(found) == set(OPTIONS)
    assert len(OPTIONS) == len(set(OPTIONS)) == len(modules)


@pytest.mark.parametrize("module", PURE)
def test_tests_mirror_the_pure_half(module: str) -> None:
    assert (ROOT / "imgproxy" / f"{module}.py").is_file()
    assert (ROOT / "tests" / f"test_{module}.py").is_file()


@pytest.mark.parametrize("module", ["files", "lines", "places", "typed"])
def test_tests_mirror_the_presets(module: str) -> None:
    assert (ROOT / "imgproxy" / "presets" / f"{module}.py").is_file()
    assert (ROOT / "tests" / "presets" / f"test_{module}.py").is_file()


@pytest.mark.parametrize("module", [each.name for each in pkgutil.iter_modules([str(ROOT / "imgproxy" / "dialects")])])
def test_each_dialect_has_tests_and_vectors(module: str) -> None:
    assert (ROOT / "tests" / "dialects" / f"test_{module}.py").is_file()
    assert (ROOT / "tests" / "dialects" / f"{module}.toml").is_file()


def test_the_package_itself_stays_nearly_empty() -> None:
    # Every render process executes it.
    assert len(Path(inspect.getfile(imgproxy)).read_text(encoding="utf-8").splitlines()) < 20


@pytest.mark.parametrize(
    "path", sorted((ROOT / "imgproxy").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert text.partition('"""')[2].partition("\n")[0].rstrip('"').endswith((".", ":"))
