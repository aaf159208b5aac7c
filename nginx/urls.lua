-- What an edge must know of a URL: its source, however that is spelled, what it can be purged by, and when it expires.
-- The grammar is imgproxy/dialects/imgproxy.py; a test holds the two together. Where this knows less than a node, it
-- claims more tags than the node: an entry too many is made anew, never one too few.

local settings = require "settings"

local byte, char, find, gsub, match, sub = string.byte, string.char, string.find, string.gsub, string.match, string.sub

local urls = {}

local function split(text, separator)
    local parts, from = {}, 1
    while true do
        local first, last = find(text, separator, from, true)
        if not first then
            parts[#parts + 1] = sub(text, from)
            return parts
        end
        parts[#parts + 1] = sub(text, from, first - 1)
        from = last + 1
    end
end

-- The length of the UTF-8 sequence that begins at a place, or nil (RFC 3629: no overlong forms, no surrogates).
local function sequence(text, place)
    local a, b, c, d = byte(text, place, place + 3)
    local function follows(each, low, high)
        return each and each >= (low or 0x80) and each <= (high or 0xBF)
    end
    if a < 0x80 then
        return 1
    elseif a >= 0xC2 and a <= 0xDF then
        return follows(b) and 2
    elseif a >= 0xE0 and a <= 0xEF then
        local low, high = a == 0xE0 and 0xA0 or nil, a == 0xED and 0x9F or nil
        return follows(b, low, high) and follows(c) and 3
    elseif a >= 0xF0 and a <= 0xF4 then
        local low, high = a == 0xF0 and 0x90 or nil, a == 0xF4 and 0x8F or nil
        return follows(b, low, high) and follows(c) and follows(d) and 4
    end
end

local function escape(letter)
    return string.format("%%%02X", byte(letter))
end

-- Bytes as UTF-8; what is not UTF-8 stays percent-encoded (options/values.py: as_text).
local function as_text(raw)
    if not find(raw, "[\128-\255]") then
        return raw
    end
    local parts, place = {}, 1
    while place <= #raw do
        local length = sequence(raw, place)
        parts[#parts + 1] = length and sub(raw, place, place + length - 1) or escape(sub(raw, place, place))
        place = place + (length or 1)
    end
    return table.concat(parts)
end

local function percent_decoded(text)
    return as_text((gsub(text, "%%(%x%x)", function(digits) return char(tonumber(digits, 16)) end)))
end

local function from_base64(text)
    local bare = gsub(text, "=+$", "")
    if #bare % 4 == 1 or find(bare, "[^%w_-]") then
        return nil
    end
    return ngx.decode_base64(gsub(bare, "[_-]", { ["_"] = "/", ["-"] = "+" }) .. string.rep("=", -#bare % 4))
end

-- A text as one word (caches/purges.py: as_tag).
local function as_tag(text)
    return (gsub(text, "[^%w!#$&'()*+./:;=?@%[%]^_`{|}~-]", escape))
end

local function plain(text)
    local source, extension = match(text, "^([^@]*)@?(.*)$")
    if source == "" or find(extension, "@", 1, true) then
        return nil
    end
    return percent_decoded(source)
end

local function encoded(text)
    local body, extension = match(text, "^([^.]*)%.?(.*)$")
    if find(extension, ".", 1, true) then
        return nil
    end
    local raw = from_base64(body)
    return raw and raw ~= "" and as_text(raw) or nil
end

local function rewritten(url)
    for _, pair in ipairs(settings.url_replacements) do
        local groups = ngx.re.match(url, pair[1], "jo")
        if groups then
            local filled = gsub(pair[2], "%${(%d%d?%d?)}", function(n) return groups[tonumber(n)] or "" end)
            url = filled .. sub(url, #groups[0] + 1)
        end
    end
    local base = settings.base_url
    return sub(url, 1, #base) == base and url or base .. url
end

-- "%3A" back to ":" in the options, and "//" back into a plain source that something collapsed.
local function repaired(path)
    local first, last = find(path, "/plain/", 1, true)
    if not first then
        return (gsub(path, "%%3A", ":"))
    end
    local source = sub(path, last + 1)
    local scheme, rest = match(source, "^(%a[%w+.-]*):/(.*)$")
    if scheme and sub(rest, 1, 1) ~= "/" then
        source = scheme .. (scheme == "local" and ":///" or "://") .. rest
    end
    return gsub(sub(path, 1, first - 1), "%%3A", ":") .. "/plain/" .. source
end

local tagging = {}

function tagging.preset(found, arguments)
    for _, name in ipairs(arguments) do
        found.tags[#found.tags + 1] = "preset-" .. as_tag(percent_decoded(name))
    end
end
tagging.pr = tagging.preset

function tagging.cache_tags(found, arguments)
    for _, word in ipairs(arguments) do
        found.tags[#found.tags + 1] = percent_decoded(word)
    end
end
tagging.ct = tagging.cache_tags

-- Later ones win, as in the nodes; what is no number is refused there.
function tagging.expires(found, arguments)
    found.expires = tonumber(arguments[1]) or 0
end
tagging.exp = tagging.expires

-- When a token in the place of the signature expires (imgproxy/tokens.py): the second of its words.
local function token_expires(signature)
    return tonumber((match(signature, "^~%x+%.(%d+)%."))) or 0
end

-- The sooner of two expiries, of which 0 is never.
local function sooner(a, b)
    return a == 0 and b or b == 0 and a or math.min(a, b)
end

local function arguments_of(segment)
    local arguments = split(segment, settings.arguments_separator)
    return table.remove(arguments, 1), arguments
end

-- The segments of the source; options leave their traces in what was found.
local function read_options(segments, found)
    for place, segment in ipairs(segments) do
        if segment ~= "" then
            local name, arguments = arguments_of(segment)
            if #arguments == 0 then
                return place
            end
            if tagging[name] then
                tagging[name](found, arguments)
            end
        end
    end
    return #segments + 1
end

local function source_of(segments, from)
    local first = segments[from]
    if first == "plain" and from < #segments then
        return plain(table.concat(segments, "/", from + 1))
    end
    local last = #segments
    if settings.base64_url_includes_filename and from < last then
        last = last - 1
    end
    return first and encoded(table.concat(segments, "", from, last))
end

local function host_tag(found, url)
    local place = match(url, "^[^/?#]*//([^/?#]*)")
    local host = place and match(gsub(place, "^.*@", ""), "^%[?([^%]]*)")
    if host and not find(place, "[", 1, true) then
        host = match(host, "^[^:]*")
    end
    if find(url, "%c") or find(url, "^ ") or find(host or "", "[\128-\255]") then
        -- Nodes overlook some characters, and other alphabets have other small letters: any purge may be about it.
        found.vague = true
    end
    if not host or host == "" then
        return
    end
    found.tags[#found.tags + 1] = "host-" .. as_tag(string.lower(host))
end

-- What a path (without its query) says:
--   id        16 hex digits of the source, for routing and the log
--   url       the source, nil if it cannot be read here
--   tags      what its results can be purged by
--   expires   Unix seconds, 0 for never
--   vague     whether tags may be missing: every purge is about it
--   foreign   whether it is no image's URL at all: nothing of it is kept
function urls.read(path)
    local found = { tags = {}, expires = 0, vague = false, foreign = false }
    local prefix = settings.path_prefix .. "/"
    local slash = sub(path, 1, #prefix) == prefix and find(path, "/", #prefix + 1, true)
    local segments = split(sub(repaired(slash and sub(path, slash) or "/"), 2), "/")
    local from = 2
    if settings.only_presets then
        tagging.preset(found, split(segments[1], settings.arguments_separator))
    else
        from = read_options(segments, found)
    end
    if slash then
        found.expires = sooner(found.expires, token_expires(sub(path, #prefix + 1, slash - 1)))
    end
    if segments[from] == "enc" and from < #segments then
        -- Encrypted: only a node knows the source.
        found.vague, found.id = true, sub(ngx.md5(table.concat(segments, "/", from + 1)), 1, 16)
        return found
    end
    local url = source_of(segments, from)
    if not url then
        found.foreign, found.id = true, sub(ngx.md5(path), 1, 16)
        return found
    end
    found.url = rewritten(url)
    -- MD5 as in caches/base.py: source_id.
    found.id = sub(ngx.md5(found.url), 1, 16)
    found.tags[#found.tags + 1] = "source-" .. found.id
    host_tag(found, found.url)
    return found
end

return urls
