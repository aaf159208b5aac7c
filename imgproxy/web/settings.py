"""The settings of the HTTP surface."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from imgproxy.environment import GoBool, RoomSettings, Seconds, one_word
from imgproxy.fields import is_path
from imgproxy.web.listening import Address


class WebSettings(RoomSettings):
    """The HTTP surface: where the server listens, for how long, and what it says in headers."""

    bind: str = Field(default=":8080", description="Where to listen: :8080, host:port or unix:/path.")
    set_canonical_header: GoBool = Field(
        default=False, description="Send a Link header with the source URL as the canonical one."
    )
    use_etag: GoBool = Field(default=True, description="Send ETag.")
    use_last_modified: GoBool = Field(default=True, description="Send Last-Modified.")
    enable_debug_headers: GoBool = Field(
        default=False, description="Send X-Origin-*, X-Result-* and Server-Timing headers."
    )
    development_errors_mode: GoBool = Field(
        default=False, description="Answer errors with the whole reason. Not for production."
    )
    allow_origin: str = Field(
        default="",
        pattern=r"^[\x21-\x7e]*$",
        description="Value of Access-Control-Allow-Origin. Empty: no CORS headers.",
    )
    secret: SecretStr = Field(
        default=SecretStr(""),
        description="Token that Authorization: Bearer must carry. Empty: none.",
    )
    health_check_path: str = Field(default="", description="A second path for the health check.")
    timeout: Seconds = Field(default=10, gt=0, description="Seconds until an image must be ready.")
    read_request_timeout: Seconds = Field(
        default=10, gt=0, description="Seconds until the head of a request must have arrived."
    )
    write_response_timeout: Seconds = Field(
        default=10, gt=0, description="Seconds that a streamed body may stand still."
    )
    keep_alive_timeout: Seconds = Field(default=10, ge=0, description="Seconds that an idle connection is kept.")
    graceful_stop_timeout: Seconds = Field(
        default=0, ge=0, description="Seconds that requests get to end at a stop; 0 is 2 x TIMEOUT."
    )
    drain_delay: Seconds = Field(
        default=1,
        ge=0,
        description="Seconds between /readyz turning 503 and the listener closing at SIGTERM.",
        json_schema_extra={
            "imgproxy": 0,
            "why": "A load balancer needs a moment to send its requests elsewhere.",
        },
    )
    max_clients: int = Field(
        default=2048,
        ge=0,
        description="Image requests at the same time; more get 429. 0: no limit.",
    )
    fallback_image_http_code: int = Field(
        default=200,
        ge=0,
        le=599,
        description="Status of a fallback image; 0 keeps the error's own.",
    )
    server_name: str = Field(default="imgproxy", pattern=r"^[\x21-\x7e]+$", description="Value of the Server header.")

    @field_validator("fallback_image_http_code")
    @classmethod
    def _can_carry_an_image(cls, status: int) -> int:
        if status and (status < 200 or status in {204, 205, 304}):
            raise ValueError("expected 0, or a status from 200 to 599 that may have a body")
        return status

    @field_validator("bind")
    @classmethod
    def _is_address(cls, bind: str) -> str:
        Address.parse(bind)
        return bind

    @field_validator("secret")
    @classmethod
    def _is_one_word(cls, secret: SecretStr) -> SecretStr:
        return one_word(secret)

    @field_validator("health_check_path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if not is_path(path):
            raise ValueError("expected a path such as /healthz, without blanks, braces, escapes or a query")
        return path

    @property
    def stop_seconds(self) -> float:
        """How long requests in flight may take at a stop."""
        return self.graceful_stop_timeout or 2 * self.timeout
