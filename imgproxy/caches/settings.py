"""The settings of the caches room: what is remembered, where and for how long."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from imgproxy.caches.connecting import read
from imgproxy.caches.store import check_url
from imgproxy.environment import ByteSize, RoomSettings, Seconds


class CacheSettings(RoomSettings):
    """What is remembered, where and for how long."""

    memory_cache_size: ByteSize = Field(
        default=64 * 1024 * 1024, ge=0, description="Bytes of results kept in the server's memory; 0 keeps none."
    )
    source_cache_size: ByteSize = Field(
        default=64 * 1024 * 1024,
        ge=0,
        description="Bytes of originals kept, so that many sizes of a picture are one download; 0 keeps none.",
    )
    mezzanine_cache_size: ByteSize = Field(
        default=64 * 1024 * 1024,
        ge=0,
        description="Bytes of decoded pixels kept, up to 22 MB for a JPEG of 6 megapixels or more of which several "
        "sizes are wanted: they are made from one decode. 0 decodes for each size.",
    )
    redis_url: SecretStr = Field(
        default=SecretStr(""),
        description="Redis that nodes share results, leases and purges through: `redis://[user:password@]host:port/db`,"
        " `rediss://` (TLS), `redis+sentinel://host:port,host:port/service/db` or `redis+cluster://host:port,host:port`."
        " Empty: none.",
    )
    redis_max_value_size: ByteSize = Field(
        default=4 * 1024 * 1024, gt=0, description="Bytes of the largest result that is kept in Redis."
    )
    redis_timeout: Seconds = Field(
        default=0.05, gt=0, description="Seconds until an operation of Redis is given up: a miss, never an error."
    )
    result_store_url: str = Field(
        default="",
        description="Object store for results that should outlive memory and Redis: `file:///path`, `s3://bucket/prefix`,"
        " `gs://bucket/prefix` or `az://container/prefix`, with credentials from the usual places. Empty: none.",
    )
    result_store_timeout: Seconds = Field(
        default=0.05,
        gt=0,
        description="Seconds until a read from the result store is given up: a miss. Buckets need 0.5 or so.",
    )
    result_store_ttl: Seconds = Field(
        default=30 * 86400, gt=0, description="Seconds that a result is kept in the result store."
    )

    @field_validator("redis_url")
    @classmethod
    def _can_be_read(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value():
            read(url.get_secret_value())
        return url

    @field_validator("result_store_url")
    @classmethod
    def _is_store(cls, url: str) -> str:
        return check_url(url) if url else url
