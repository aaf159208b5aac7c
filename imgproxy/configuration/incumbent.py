"""imgproxy's variables (4.0, Pro included) that are no settings here: what becomes of each.

Those that are settings here are not listed: ``settings.ROOMS`` knows them, and how their defaults differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Fate = Literal["renamed", "not needed", "unsupported"]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of imgproxy's, or a family of them."""

    pattern: str
    """Its name without IMGPROXY_; ``*`` stands for anything."""
    fate: Fate
    text: str
    """Where it went, why it is not needed, or what to do without it."""


def find(name: str) -> Variable | None:
    """What becomes of a variable of imgproxy's, by its name without IMGPROXY_."""
    return next((each for each in VARIABLES if fnmatchcase(name, each.pattern)), None)


_BUCKETS = "Sources are fetched over http(s) or from local files: give the bucket's https:// URLs."
_AUTOQUALITY = "Qualities are fixed numbers: IMGPROXY_QUALITY_PROFILE chooses how much work goes into results."
_MODELS = "There are no neural networks here: g:sm finds what is interesting, g:fp:x:y is a point that you choose."
_VIDEO = "Videos are not read: make a picture of one with ffmpeg where it is uploaded."
_TRACKERS = "Collect the log (IMGPROXY_LOG_FORMAT=json): every error has a line with its code and reason."
_METRICS = "Collect the Prometheus metrics: IMGPROXY_PROMETHEUS_BIND."
_COOKIES = "Cookies are never passed on: what one user may see must not become another's answer."
_SECRETS = "Have the platform set the variables, or write a file and name it with IMGPROXY_ENV_LOCAL_FILE_PATH."
_HEADERS = "Have the edge add headers; to origins goes IMGPROXY_USER_AGENT."
_INFO = "There is no /info endpoint."
_JPEG = "Encoders are driven by IMGPROXY_QUALITY_PROFILE and IMGPROXY_QUALITY."
_MEMORY = "Pictures are made in processes that are replaced when they grow: IMGPROXY_WORKER_MEMORY limits each."
_SVG = "SVGs are always made harmless, and drawn within limits: IMGPROXY_MAX_SVG_SIZE."
_STORE = "IMGPROXY_RESULT_STORE_URL: file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
_CREDENTIALS = "The result store's credentials come from the usual places (AWS_*, GOOGLE_*, AZURE_*)."

VARIABLES: tuple[Variable, ...] = (
    Variable("CACHE_USE", "renamed", _STORE),
    Variable("CACHE_BUCKET", "renamed", _STORE),
    Variable("CACHE_PATH_PREFIX", "renamed", _STORE),
    Variable("CACHE_LOCAL_FILESYSTEM_ROOT", "renamed", _STORE),
    Variable("CACHE_FS_ROOT", "renamed", _STORE),
    Variable(
        "CACHE_KEY_*", "unsupported", "Results depend on the URL and on Accept only, so that caches can be shared."
    ),
    Variable("CACHE_REPORT_ERRORS", "not needed", "A cache that fails is a line in the log and a metric."),
    Variable("CACHE_SWIFT_*", "unsupported", "Use Swift's S3 interface: IMGPROXY_RESULT_STORE_URL=s3://bucket/prefix."),
    Variable("CACHE_S3_ENDPOINT", "renamed", "AWS_ENDPOINT"),
    Variable("CACHE_S3_REGION", "renamed", "AWS_REGION"),
    Variable("CACHE_S3_*", "unsupported", _CREDENTIALS),
    Variable("CACHE_GCS_*", "unsupported", _CREDENTIALS),
    Variable("CACHE_ABS_*", "unsupported", _CREDENTIALS),
    Variable("NETWORK", "not needed", "IMGPROXY_BIND says it: :8080, host:port or unix:/path."),
    Variable("SO_REUSEPORT", "not needed", "One server uses all cores; several stand behind an edge (imgproxy nginx)."),
    Variable("CUSTOM_*", "unsupported", _HEADERS),
    Variable("REQUEST_HEADERS_PASSTHROUGH", "unsupported", _HEADERS),
    Variable("RESPONSE_HEADERS_PASSTHROUGH", "unsupported", _HEADERS),
    Variable("ALLOWED_INFO_OPTIONS", "unsupported", _INFO),
    Variable("INFO_*", "unsupported", _INFO),
    Variable("MAX_CHAINED_PIPELINES", "not needed", "URLs have one pipeline."),
    Variable(
        "SOURCE_URL_ENCRYPTION_KEY", "unsupported", "Sources are plain or base64 in URLs; a signature protects them."
    ),
    Variable("PNG_UNLIMITED", "not needed", "A file's structure is looked at before any decoder sees it."),
    Variable("TIFF_UNLIMITED", "not needed", "A file's structure is looked at before any decoder sees it."),
    Variable("SVG_UNLIMITED", "renamed", "IMGPROXY_MAX_SVG_SIZE: a number of bytes"),
    Variable("SANITIZE_SVG", "not needed", _SVG),
    Variable("COOKIE_*", "unsupported", _COOKIES),
    Variable("JPEG_QUANT_TABLE", "unsupported", _JPEG),
    Variable("JPEG_NO_SUBSAMPLE", "unsupported", _JPEG),
    Variable("JPEG_TRELLIS_QUANT", "unsupported", _JPEG),
    Variable("JPEG_OVERSHOOT_DERINGING", "unsupported", _JPEG),
    Variable("JPEG_OPTIMIZE_SCANS", "unsupported", _JPEG),
    Variable("WEBP_COMPRESSION", "unsupported", "WebP is lossy here; ask for PNG where no detail may be lost."),
    Variable("WEBP_SMART_SUBSAMPLE", "unsupported", _JPEG),
    Variable("AVIF_SUBSAMPLE", "not needed", "It is chosen by quality, as imgproxy's auto does."),
    Variable("JXL_EFFORT", "unsupported", "JPEG XL is not written here; IMGPROXY_AUTO_AVIF is."),
    Variable("*_JXL", "unsupported", "JPEG XL is not written here; IMGPROXY_AUTO_AVIF is."),
    Variable("AUTOQUALITY_*", "unsupported", _AUTOQUALITY),
    Variable(
        "BEST_FORMAT_*", "unsupported", "IMGPROXY_AUTO_AVIF and IMGPROXY_AUTO_WEBP choose by what the client takes."
    ),
    Variable("ENABLE_VIDEO_THUMBNAILS", "unsupported", _VIDEO),
    Variable("VIDEO_THUMBNAIL_*", "unsupported", _VIDEO),
    Variable("WATERMARK_PREPROCESS_URL", "not needed", "URLs cannot bring a watermark of their own."),
    Variable("WATERMARKS_CACHE_SIZE", "not needed", "URLs cannot bring a watermark of their own."),
    Variable("UNSHARP_MASKING_*", "unsupported", "Sharpen in a preset: default=sh:0.5"),
    Variable("SMART_CROP_*", "unsupported", _MODELS),
    Variable("OBJECT_DETECTION_*", "unsupported", _MODELS),
    Variable("CLASSIFICATION_*", "unsupported", _MODELS),
    Variable("FALLBACK_IMAGE_PREPROCESS_URL", "not needed", "URLs cannot bring a fallback image of their own."),
    Variable("FALLBACK_IMAGES_CACHE_SIZE", "not needed", "URLs cannot bring a fallback image of their own."),
    Variable("USE_S3", "unsupported", _BUCKETS),
    Variable("USE_GCS", "unsupported", _BUCKETS),
    Variable("USE_ABS", "unsupported", _BUCKETS),
    Variable("USE_SWIFT", "unsupported", _BUCKETS),
    Variable("S3_*", "unsupported", _BUCKETS),
    Variable("GCS_*", "unsupported", _BUCKETS),
    Variable("ABS_*", "unsupported", _BUCKETS),
    Variable("SWIFT_*", "unsupported", _BUCKETS),
    Variable("NEW_RELIC_*", "unsupported", _METRICS),
    Variable("DATADOG_*", "unsupported", _METRICS),
    Variable("OPEN_TELEMETRY_*", "unsupported", _METRICS),
    Variable("CLOUD_WATCH_*", "unsupported", _METRICS),
    Variable("REPORT_DOWNLOADING_ERRORS", "not needed", "Every failed request has a line in the log."),
    Variable("BUGSNAG_*", "unsupported", _TRACKERS),
    Variable("HONEYBADGER_*", "unsupported", _TRACKERS),
    Variable("SENTRY_*", "unsupported", _TRACKERS),
    Variable("AIRBRAKE_*", "unsupported", _TRACKERS),
    Variable(
        "SYSLOG_*", "unsupported", "The log goes to standard error: systemd and container engines take it from there."
    ),
    Variable("LICENSE_*", "not needed", "There is no license to buy."),
    Variable("DOWNLOAD_BUFFER_SIZE", "not needed", _MEMORY),
    Variable("FREE_MEMORY_INTERVAL", "not needed", _MEMORY),
    Variable("BUFFER_POOL_CALIBRATION_THRESHOLD", "not needed", _MEMORY),
    Variable("MALLOC", "not needed", _MEMORY),
    Variable("PDF_NO_BACKGROUND", "unsupported", "PDFs are not read."),
    Variable("STRIP_METADATA_DPI", "unsupported", "Results say nothing of their resolution in print."),
    Variable("COLOR_PROFILES_DIR", "unsupported", "Results are in sRGB, or in the source's own profile."),
    Variable("HEALTH_CHECK_MESSAGE", "not needed", "/health answers as imgproxy does; /readyz?verbose tells more."),
    Variable("FAIL_ON_DEPRECATION", "not needed", "`imgproxy config` ends with 1 for what is unknown."),
    Variable("ENV_AWS_*", "unsupported", _SECRETS),
    Variable("ENV_GCP_*", "unsupported", _SECRETS),
)
