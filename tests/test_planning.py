from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imgproxy.errors import BadOption, OptionForbidden, UnknownPreset, UnsupportedFormat
from imgproxy.formats import AVIF, FORMATS, JPEG, JSON, PNG, SVG, WEBP, FormatRule
from imgproxy.model import Client, Delivery, Encoding, ImageRequest, Limits, Plan, SourceRef
from imgproxy.negotiation import NegotiationSettings, Negotiator
from imgproxy.options import (
    OPTIONS,
    Expires,
    Filename,
    Options,
    Placeholder,
    QualityProfile,
    ReturnAttachment,
    SkipProcessing,
    read_segment,
)
from imgproxy.options.quality_profile import Profile
from imgproxy.planning import Planner, PlanSettings, cheaper
from imgproxy.presets import Presets
from tests.options.reading import read
from tests.options.strategies import option_sets

SOURCE = SourceRef("http://x/cat.jpg")


def request(text: str) -> ImageRequest:
    segments = (segment.split(":") for segment in text.split("/") if segment)
    return ImageRequest(SOURCE, tuple(each for name, *texts in segments for each in read_segment(name, texts)))


def planned(text: str, client: Client | None = None, presets: str = "", *, watermark: str = "", **fields: Any) -> Plan:
    known = Presets.parse([("test", line) for line in presets.split(",") if line])
    negotiator = Negotiator(NegotiationSettings(auto_webp=True, enforce_avif=True))
    planner = Planner(PlanSettings.model_validate(fields), known, negotiator, watermark=watermark)
    return planner.plan(request(text), client or Client())


def test_a_plan_without_wishes() -> None:
    assert Planner(PlanSettings(max_src_file_size=5)).plan(request(""), Client()) == Plan(
        SOURCE,
        Options(),
        Negotiator().rule(None, Client()),
        Encoding((("jpeg", 80), ("jxl", 77), ("webp", 79), ("heic", 80), ("avif", 63), ("tiff", 80))),
        Limits(source_bytes=5, source_pixels=50_000_000),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rs:fill:300:200/g:no", "gravity:no/h:200/w:300/rt:fill"),
        ("w:1/w:300", "width:300"),
        ("fq:webp:79", ""),  # the configured quality
        ("q:50/q:0", ""),
        ("fq:jpeg:50:webp:60/q:70", "q:70"),
        ("f:jpg", "ext:jpeg"),
        ("rot:-90", "rot:270"),
        ("bg:fff", "bg:255:255:255"),
        ("pr:thumb", "w:10"),
        ("sm:1", ""),
        ("wm:1:no", ""),  # there is no watermark
        ("el:1/el:0", ""),
        ("fn:a/att:1/exp:4102444800", ""),
    ],
)
def test_equal_wishes_share_a_key(one: str, other: str) -> None:
    plans = [planned(text, presets="thumb=w:10") for text in (one, other)]
    assert plans[0] == plans[1]
    assert hash(plans[0]) == hash(plans[1])
    assert plans[0].key == plans[1].key
    assert plans[0].path == plans[1].path


@given(option_sets, option_sets)
def test_plans_are_equal_exactly_if_their_keys_are(one: Options, other: Options) -> None:
    def plan(options: Options) -> Plan:
        return Plan(SOURCE, options, Negotiator().rule(None, Client()))

    assert (plan(one) == plan(other)) == (plan(one).key == plan(other).key)
    assert plan(one).key == plan(copy.deepcopy(one)).key


SETTINGS: tuple[dict[str, Any], ...] = (
    {"max_src_file_size": 1},
    {"max_src_resolution": 1},
    {"max_animation_frames": 2},
    {"max_animation_frame_resolution": 1},
    {"max_result_dimension": 1},
    {"watermark_opacity": 0.5},
    {"use_linear_colorspace": True},
    {"jpeg_progressive": True},
    {"png_interlaced": True},
    {"png_quantize": True},
    {"png_quantization_colors": 2},
    {"webp_effort": 6},
    {"webp_preset": "icon"},
    {"avif_speed": 1},
    {"disable_shrink_on_load": True},
    {"quality_profile": "fast"},
    {"quality_profile": "best"},
    {"strip_metadata": "false"},
    {"auto_rotate": "0"},
)

DIFFERENT = [
    Plan(SourceRef("http://x/dog.jpg"), Options(), planned("").formats),
    Plan(SourceRef("http://x/cat.jpg\nw:1"), Options(), planned("").formats),
    *(
        planned(text, client, watermark="mark")
        for text in ("", "w:1", "h:1", "cb:a", "cb:b", "f:png", "q:1", "fq:jpeg:1", "wm:1", "skp:gif", "mb:5", "raw:1")
        for client in (Client(), Client(frozenset({"webp"})), Client(dpr=2.0))
        if not (text == "raw:1" and client.formats)
    ),
    *(planned("wm:1", watermark="mark", **fields) for fields in SETTINGS),
]


def test_different_plans_have_different_keys() -> None:
    distinct = set(DIFFERENT)
    assert len({plan.key for plan in DIFFERENT}) == len(distinct)
    assert len(distinct) > 45


@given(st.text(max_size=9), st.booleans(), st.integers(0, 2**53))
def test_delivery_never_changes_the_key(name: str, attachment: bool, at: int) -> None:
    options = Options.of(Filename(name), ReturnAttachment(attachment), Expires(at))
    plan = planned(f"w:1/{options}")
    assert plan.delivery == Delivery(name, attachment, at)
    assert plan.key == planned("w:1").key
    assert plan == planned("w:1")


def test_plans_travel() -> None:
    plan = planned("rs:fill:300:200/g:fp:0.5:0/fq:jpeg:50", watermark="mark")
    again = pickle.loads(pickle.dumps(plan))
    assert again == plan
    assert again.key == plan.key


def test_the_key_does_not_depend_on_the_process() -> None:
    # Stored entries outlive a process: this value may change only together with PIPELINE_VERSION.
    assert len(planned("").key) == 64
    assert planned("skp:svg:gif:png").path == "skp:gif:png:svg"


@pytest.mark.parametrize(
    ("text", "client", "presets", "fields", "path"),
    [
        # Later ones win: settings, client hints, the preset "default", the URL.
        ("", Client(), "", {"auto_rotate": "0", "preserve_hdr": "1"}, "ar:0/ph:1"),
        ("ar:1", Client(), "", {"auto_rotate": "0"}, ""),
        ("", Client(dpr=2.0, width=641), "", {}, "rs:fit:321/dpr:2"),
        ("w:100", Client(dpr=2.0, width=641), "", {}, "rs:fit:100/dpr:2"),
        ("dpr:1", Client(dpr=2.0), "", {}, ""),
        ("", Client(dpr=2.0, width=641), "default=w:50/g:no", {}, "g:no/rs:fit:50/dpr:2"),
        ("g:so", Client(), "default=w:50/g:no", {}, "g:so/rs:fit:50"),
        ("pr:a/w:7", Client(), "default=w:50,a=w:60/h:60", {}, "rs:fit:7:60"),
        ("", Client(width=0), "", {}, ""),
        ("skp:gif", Client(), "default=skp:svg", {"skip_processing_formats": "png"}, "skp:gif:png:svg"),
        ("g:so", Client(), "default=g:no:10:20", {}, "g:so:10:20"),  # the offsets of a preset stay
        ("pd::5", Client(), "default=pd:10", {}, "pd:10:5:10:5"),
    ],
)
def test_precedence(text: str, client: Client, presets: str, fields: dict[str, Any], path: str) -> None:
    assert planned(text, client, presets, **fields).path == path


@pytest.mark.parametrize(
    ("text", "fields", "qualities"),
    [
        ("", {}, {"jpeg": 80, "webp": 79, "avif": 63, "jxl": 77, "tiff": 80}),
        ("q:50", {}, {"jpeg": 50, "webp": 50, "avif": 50}),
        ("q:50/fq:webp:40", {}, {"jpeg": 50, "webp": 50}),
        ("fq:webp:40", {}, {"jpeg": 80, "webp": 40, "avif": 63}),
        ("fq:webp:0", {}, {"webp": 79}),
        ("", {"quality": 70}, {"jpeg": 70, "webp": 79}),
        ("", {"quality": 70, "format_quality": "jpg=60, avif=40"}, {"jpeg": 60, "webp": 70, "avif": 40}),
        ("", {"quality": 70, "format_quality": ""}, {"jpeg": 70, "webp": 70}),
    ],
)
def test_quality(text: str, fields: dict[str, Any], qualities: dict[str, int]) -> None:
    found = dict(planned(text, **fields).encoding.quality)
    assert {name: found[name] for name in qualities} == qualities


@pytest.mark.parametrize(
    ("text", "client", "requested", "offers"),
    [
        ("f:png", Client(frozenset({"webp"})), PNG, ()),
        ("f:png", Client(frozenset({"webp", "avif"})), PNG, (AVIF,)),
        ("", Client(frozenset({"webp", "avif"})), None, (AVIF, WEBP)),
        ("f:svg", Client(), SVG, ()),
        ("f:png/raw:1", Client(), None, ()),
        ("f:heic/raw:1", Client(), None, ()),
    ],
)
def test_formats(text: str, client: Client, requested: object, offers: tuple[object, ...]) -> None:
    rule = planned(text, client).formats
    assert rule.requested is requested
    assert (rule.enforced or rule.automatic) == offers


@pytest.mark.parametrize("name", [each.name for each in FORMATS if not (each.writable or each.vector)])
def test_a_format_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=name):
        planned(f"f:{name}")


def test_a_placeholder_is_planned_as_the_picture_that_it_is_of() -> None:
    plan = planned("rs:fill:300:200/plh:blurhash", Client(frozenset({"webp", "avif"})))
    assert plan.formats == FormatRule(JSON)
    assert plan.path == "rs:fill:300:200/plh:blurhash"
    assert plan.encoding == Encoding()


@pytest.mark.parametrize(
    "unseen",
    [
        *("f:webp", "f:png", "f:jxl", "f:svg", "q:10", "fq:webp:5", "mb:1000"),
        *("sm:0", "kcr:0", "scp:0", "ph:1", "skp:jpeg:svg", "wm:1", "sh:2"),
    ],
)
def test_what_concerns_the_file_or_single_pixels_concerns_no_placeholder(unseen: str) -> None:
    accepts = Client(frozenset({"webp", "avif"}))
    plain = planned("w:300/plh:lqip")
    assert planned(f"w:300/plh:lqip/{unseen}", accepts) == plain
    configured: dict[str, Any] = {"quality": 10, "webp_effort": 6, "max_animation_frames": 9, "strip_metadata": False}
    assert planned("w:300/plh:lqip", accepts, **configured).key == plain.key


def test_a_placeholder_of_what_would_be_a_jpeg_is_on_white() -> None:
    assert planned("plh:thumbhash/f:jpg").path == "bg:ffffff/plh:thumbhash"
    assert planned("plh:thumbhash/f:jpg/bg:f00").path == "bg:ff0000/plh:thumbhash"


def test_there_is_no_placeholder_of_a_raw_source() -> None:
    with pytest.raises(BadOption, match="raw source"):
        planned("plh:lqip/raw:1")
    assert planned("plh:lqip/raw:1/plh:").options == read("raw:1")


def test_limits() -> None:
    configured: dict[str, Any] = {
        "max_src_resolution": 1.5,
        "max_src_file_size": 1000,
        "max_animation_frames": 7,
        "max_animation_frame_resolution": 0.5,
        "max_result_dimension": 99,
    }
    assert planned("", **configured).limits == Limits(1000, 1_500_000, 7, 500_000, 99)
    asked = "msr:2.3456789/msfs:0/maf:1/mafr:0/mrd:5"
    assert planned(asked, **configured, allow_security_options=True).limits == Limits(0, 2_345_678, 1, 0, 5)
    assert planned("mrd:5", **configured, allow_security_options=True).limits == Limits(1000, 1_500_000, 7, 500_000, 5)


@pytest.mark.parametrize("text", ["msr:1", "msfs:1", "maf:1", "mafr:1", "mrd:1", "mrd:0", "pr:big", "msr:1/mrd:1"])
def test_security_options_need_permission_also_in_presets(text: str) -> None:
    with pytest.raises(OptionForbidden, match="IMGPROXY_ALLOW_SECURITY_OPTIONS") as caught:
        planned(text, presets="big=mrd:5000")
    assert caught.value.status == 403


def test_a_watermark_counts_only_if_there_is_one() -> None:
    with_mark = planned("wm:0.5:no", watermark="mark", watermark_opacity=0.4)
    assert (with_mark.path, with_mark.watermark_opacity) == ("wm:0.5:no", 0.4)
    for plan in (
        planned("wm:0.5:no", watermark_opacity=0.4),
        planned("wm:0:no", watermark="mark", watermark_opacity=0.4),
    ):
        assert (plan.path, plan.watermark_opacity) == ("", 1.0)


def test_settings_of_the_answer() -> None:
    assert planned("", return_attachment=True).delivery == Delivery(attachment=True)
    assert planned("att:0", return_attachment=True).delivery == Delivery()
    assert planned("fn:a/exp:5").delivery == Delivery("a", expires=5)


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(UnknownPreset):
        planned("pr:nope")


def test_a_plan_holds_no_option_that_is_resolved() -> None:
    everything = "/".join(example for kind in OPTIONS if kind is not Placeholder for example in kind.examples)
    plan = planned(everything, presets="thumb=w:1", allow_security_options=True)
    for name in ("pr", "f", "q", "fq", "msr", "exp", "fn", "att"):
        assert f"/{name}:" not in f"/{plan.path}"
    assert read(plan.path) == plan.options


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"quality": 0}, "greater than or equal to 1"),
        ({"quality": 101}, "less than or equal to 100"),
        ({"format_quality": "foo=1"}, "format=quality"),
        ({"format_quality": "jpeg"}, "format=quality"),
        ({"format_quality": "jpeg=101"}, "format=quality"),
        ({"max_animation_frames": 0}, "greater than or equal to 1"),
        ({"watermark_opacity": 0}, "greater than 0"),
        ({"webp_preset": "cartoon"}, "pattern"),
        ({"strip_metadata": "yes"}, "true or false"),
    ],
)
def test_bad_settings(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        PlanSettings.model_validate(fields)


def test_skipped_formats_are_formats() -> None:
    assert PlanSettings.model_validate({"skip_processing_formats": "svg, jpg"}).base()[
        SkipProcessing
    ] == SkipProcessing(("jpeg", "svg"))
    with pytest.raises(ValueError, match="unknown formats: foo"):
        PlanSettings.model_validate({"skip_processing_formats": "svg,foo"})


def test_qualities_may_be_given_as_values() -> None:
    assert PlanSettings(format_quality=((JPEG.name, 5),)).format_quality == (("jpeg", 5),)


def test_a_format_that_cannot_be_written_may_be_overridden() -> None:
    rule = planned("f:heic", Client(frozenset({"avif"}))).formats
    assert rule.choose(JPEG, animated=False, alpha=False) is AVIF
    with pytest.raises(UnsupportedFormat):
        planned("f:heic")


@pytest.mark.parametrize(
    ("configured", "text", "profile", "table", "effort"),
    [
        ("balanced", "", Profile.BALANCED, 5, 2),
        ("fast", "", Profile.FAST, 0, 2),
        ("best", "", Profile.BEST, 5, 4),
        ("fast", "qp:best", Profile.BEST, 5, 4),
        ("best", "quality_profile:balanced", Profile.BALANCED, 5, 2),
    ],
)
def test_the_profile_of_the_url_wins(configured: str, text: str, profile: Profile, table: int, effort: int) -> None:
    plan = planned(text, quality_profile=configured)
    assert plan.options[QualityProfile].profile is profile
    assert (plan.encoding.jpeg_table, plan.encoding.webp_effort) == (table, effort)


def test_each_profile_has_its_own_key() -> None:
    assert len({planned(f"qp:{profile}").key for profile in Profile}) == len(Profile)
    assert planned("", quality_profile="best").key == planned("qp:best").key


def test_the_best_profile_takes_no_effort_away() -> None:
    assert planned("qp:best", webp_effort=6).encoding.webp_effort == 6


@pytest.mark.parametrize("text", ["qp:worst", "qp:fast:best"])
def test_an_unknown_profile_is_refused(text: str) -> None:
    with pytest.raises(BadOption):
        planned(text)


BOTH = Client(frozenset({"avif", "webp"}))


def test_in_a_hurry_encoders_do_less() -> None:
    slow = planned(
        "", avif_speed=2, webp_effort=6, png_quantize=True, jpeg_progressive=True, use_linear_colorspace=True
    )
    quick = cheaper(slow)
    assert (quick.encoding.avif_speed, quick.encoding.webp_effort) == (9, 0)
    assert not any([quick.encoding.png_quantize, quick.encoding.jpeg_progressive, quick.linear_light])
    assert (quick.source, quick.limits) == (slow.source, slow.limits)
    assert str(quick.options) == "qp:fast"
    assert quick.key != slow.key
    assert cheaper(quick) == quick


@pytest.mark.parametrize("enforced", [True, False])
@pytest.mark.parametrize("text", ["", "f:png"])
def test_in_a_hurry_webp_takes_the_place_of_avif_where_either_will_do(text: str, *, enforced: bool) -> None:
    settings = {f"{'enforce' if enforced else 'auto'}_{name}": True for name in ("avif", "webp")}
    planner = Planner(negotiator=Negotiator(NegotiationSettings.model_validate(settings)))
    rule = cheaper(planner.plan(request(text), BOTH)).formats
    assert AVIF not in (*rule.automatic, *rule.enforced)
    only = planner.plan(request(text), Client(frozenset({"avif"})))
    assert cheaper(only).formats == only.formats
