"""Arbitrary options, as reading URLs can make them."""

from __future__ import annotations

from hypothesis import strategies as st

from imgproxy.formats import FORMATS
from imgproxy.geometry import Anchor, Fit
from imgproxy.options import (
    OPTIONS,
    AutoRotate,
    Background,
    Blur,
    Cachebuster,
    CacheTags,
    Crop,
    Dpr,
    EnforceThumbnail,
    Expires,
    Extend,
    ExtendAspectRatio,
    Filename,
    Flip,
    FormatQuality,
    Gravity,
    KeepCopyright,
    MaxBytes,
    MinSize,
    Option,
    Options,
    Padding,
    Pixelate,
    Placeholder,
    PreserveHdr,
    Preset,
    Quality,
    QualityProfile,
    Raw,
    Resize,
    ResultFormat,
    ReturnAttachment,
    Rotate,
    SecurityLimits,
    Sharpen,
    SkipProcessing,
    StripColorProfile,
    StripMetadata,
    Trim,
    Watermark,
    Zoom,
)
from imgproxy.options.placeholder import Sketch
from imgproxy.options.quality_profile import Profile
from imgproxy.options.values import COMPASS, UNBOUNDED

bools = st.booleans()
wholes = st.integers(0, UNBOUNDED)
lengths = st.one_of(st.integers(0, 3000), wholes)


def numbers(low: float, high: float = 1e15) -> st.SearchStrategy[float]:
    """What ``Number`` can read: nothing between zero and 1e-15."""
    return st.floats(low, high).map(lambda number: 0.0 if abs(number) < 1e-15 else number)


above_zero = st.floats(1e-15, 1e15)
texts = st.text()
colors = st.none() | st.tuples(*[st.integers(0, 255)] * 3)
names = st.sampled_from([each.name for each in FORMATS])
_offsets = numbers(-1e15), numbers(-1e15)
_placed = st.tuples(st.sampled_from(COMPASS), *_offsets)
_focused = st.tuples(st.just(Anchor.FOCUS), numbers(0, 1), numbers(0, 1))
_smart = st.just((Anchor.SMART, 0.0, 0.0))
_nowhere = st.just((None, 0.0, 0.0))
tag_letters = "".join(set(map(chr, range(33, 127))) - set(",\"'\\"))

BY_OPTION: dict[type[Option], st.SearchStrategy[Option]] = {
    Preset: st.lists(texts.filter(bool)).map(lambda each: Preset(tuple(each))),
    SecurityLimits: st.builds(
        SecurityLimits,
        st.none() | numbers(0),
        st.none() | wholes,
        st.none() | st.integers(1, UNBOUNDED),
        st.none() | numbers(0),
        st.none() | wholes,
    ),
    Raw: st.builds(Raw, bools),
    SkipProcessing: st.sets(names).map(lambda each: SkipProcessing(tuple(sorted(each)))),
    EnforceThumbnail: st.builds(EnforceThumbnail, bools),
    Trim: st.builds(Trim, st.none() | numbers(-1e15), colors, bools, bools),
    Crop: st.tuples(numbers(0), numbers(0), _placed | _focused | _smart | _nowhere).map(
        lambda each: Crop(each[0], each[1], *each[2])
    ),
    Gravity: (_placed | _focused | _smart).map(lambda each: Gravity(*each)),
    Resize: st.builds(Resize, st.sampled_from(Fit), lengths, lengths, bools),
    MinSize: st.builds(MinSize, lengths, lengths),
    Zoom: st.builds(Zoom, above_zero, above_zero),
    Dpr: st.builds(Dpr, above_zero),
    AutoRotate: st.builds(AutoRotate, bools),
    Rotate: st.sampled_from((0, 90, 180, 270)).map(Rotate),
    Flip: st.builds(Flip, bools, bools),
    Blur: st.builds(Blur, numbers(0, 1000)),
    Sharpen: st.builds(Sharpen, numbers(0, 10)),
    Pixelate: st.builds(Pixelate, wholes),
    Extend: st.tuples(bools, _placed | _focused).map(lambda each: Extend(each[0], *each[1])),
    ExtendAspectRatio: st.tuples(bools, _placed | _focused).map(lambda each: ExtendAspectRatio(each[0], *each[1])),
    Padding: st.builds(Padding, lengths, lengths, lengths, lengths),
    Background: st.builds(Background, colors),
    Watermark: st.builds(
        Watermark,
        numbers(0, 1),
        st.sampled_from((*COMPASS, Anchor.REPLICATE)),
        *_offsets,
        st.just(0.0) | above_zero,
    ),
    StripColorProfile: st.builds(StripColorProfile, bools),
    PreserveHdr: st.builds(PreserveHdr, bools),
    Placeholder: st.builds(Placeholder, st.none() | st.sampled_from(Sketch))
    | st.builds(Placeholder, st.just(Sketch.BLURHASH), st.integers(1, 9), st.integers(1, 9)),
    QualityProfile: st.builds(QualityProfile, st.sampled_from(Profile)),
    StripMetadata: st.builds(StripMetadata, bools),
    KeepCopyright: st.builds(KeepCopyright, bools),
    ResultFormat: st.builds(ResultFormat, st.none() | st.sampled_from(FORMATS)),
    Quality: st.builds(Quality, st.integers(0, 100)),
    FormatQuality: st.dictionaries(names, st.integers(0, 100)).map(
        lambda each: FormatQuality(tuple(sorted(each.items())))
    ),
    MaxBytes: st.builds(MaxBytes, wholes),
    CacheTags: st.sets(st.text(tag_letters, min_size=1, max_size=20), max_size=16).map(
        lambda each: CacheTags(tuple(sorted(each)))
    ),
    Cachebuster: st.builds(Cachebuster, texts),
    Expires: st.builds(Expires, st.integers(0, 2**53)),
    Filename: st.builds(Filename, texts),
    ReturnAttachment: st.builds(ReturnAttachment, bools),
}

every_option: st.SearchStrategy[Option] = st.sampled_from(OPTIONS).flatmap(BY_OPTION.__getitem__)

option_sets: st.SearchStrategy[Options] = st.lists(every_option, max_size=6, unique_by=type).map(
    lambda each: Options.of(*each)
)
