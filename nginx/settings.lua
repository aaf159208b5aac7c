-- What the configuration says about URLs and clients; rendered with nginx.conf.

return {
    purges_path = "/var/cache/imgproxy-edge/purges",
    purge_token = "",
    path_prefix = "",
    arguments_separator = ":",
    only_presets = false,
    base64_url_includes_filename = false,
    base_url = "",
    url_replacements = {},
    formats = {"avif", "webp"},
    client_hints = false,
    authorization = false,
    version = "",
}
