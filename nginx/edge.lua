-- One request at the edge: which node it goes to, under which key its answer is kept, and what the answer says of that.

local new_table = require "table.new"
local purges = require "purges"
local settings = require "settings"
local urls = require "urls"

local edge = {}

-- Long texts are read each time, so that memory is bounded.
local LONGEST = 2048

-- What was found out about the newest texts: two tables, of which the older is dropped when the younger is full.
-- (resty.lrucache rehashes its tables all the time once it is full: 40 us for a new key.)
local function memory(read, size)
    local young, old, count = new_table(0, size), {}, 0
    return function(text)
        local found = young[text]
        if found then
            return found
        end
        found = old[text] or read(text)
        if #text <= LONGEST then
            if count == size then
                young, old, count = new_table(0, size), young, 0
            end
            young[text], count = found, count + 1
        end
        return found
    end
end

local path_read = memory(urls.read, 2048)

-- When a kept answer was last vouched for: nginx does not write the date of a 304 into its file.
local renewed = ngx.shared.edge_renewed
local RENEWAL_SECONDS = 30 * 86400

-- Keys whose answers are not kept, which are therefore not worth a lock: those who wait for one would be let through
-- one by one, every half second. A picture that is gone is remembered for longer, because nginx would go on to answer
-- with the copy it has, and only ask for a new one behind it.
local passing = ngx.shared.edge_passing
local PASSING_SECONDS = 1
local GONE_SECONDS = 86400

local LONGEST_SIDE = 10000
local LARGEST_DPR = 8

-- The media ranges of an Accept header that may be answered with (imgproxy/negotiation.py: accepts).
local function accepted(header)
    local ranges = {}
    for each in string.gmatch(string.lower(header), "[^,]+") do
        local range, parameters = string.match(each, "^%s*([^;]-)%s*;(.*)$")
        range = range or string.match(each, "^%s*(.-)%s*$")
        local weight = parameters and string.match(";" .. parameters .. ";", ";%s*q=([^;]-)%s*;")
        -- RFC 9110 §12.4.2; what cannot be read weighs nothing.
        local readable = not weight or string.find(weight, "^0%.?%d?%d?%d?$") or string.find(weight, "^1%.?0?0?0?$")
        ranges[range] = readable and (not weight or tonumber(weight) > 0) or nil
    end
    return ranges
end

-- The class of a client, which is also the Accept header that nodes get.
local function class_of(header)
    local ranges, class = accepted(header), {}
    for _, format in ipairs(settings.formats) do
        if ranges["image/" .. format] then
            class[#class + 1] = "image/" .. format
        end
    end
    return table.concat(class, ",")
end

local class_read = memory(class_of, 256)

local function number(text)
    return text and string.find(text, "^%s*%d+%.?%d*%s*$") and tonumber(text)
end

-- Client hints as few values: never less than what was asked for, and at most 16 and 100 of them.
local function hints(var)
    local dpr = number(var.http_sec_ch_dpr or var.http_dpr)
    local width = number(var.http_sec_ch_width or var.http_width)
    dpr = dpr and dpr > 0 and dpr <= LARGEST_DPR and math.ceil(dpr * 2) / 2
    width = width and width > 0 and math.min(math.ceil(width / 100) * 100, LONGEST_SIDE)
    var.edge_dpr, var.edge_width = dpr or "", width or ""
    return (dpr or "") .. ";" .. (width or "") .. ";"
end

local function seconds(text)
    return tonumber(text) or 0
end

-- What edge_bypass says of requests whose answers are not kept whatever nodes say.
local NEVER = "never"

local function path_of(target)
    local query = string.find(target, "?", 1, true)
    return query and string.sub(target, 1, query - 1) or target
end

-- Before the cache is asked: the variables that the configuration decides by.
function edge.route()
    local var = ngx.var
    local path = path_of(var.request_uri)
    local found = path_read(path)
    local version = purges.version()
    if found.version ~= version then
        found.version, found.generation = version, purges.generation(found)
    end
    local class = class_read(var.http_accept or "")
    -- In full: Lua writes large numbers as 1.79e+15.
    local key = class .. " " .. string.format("%.0f", found.generation) .. " "
    if settings.client_hints then
        key = key .. hints(var)
    end
    if settings.version ~= "" then
        key = key .. settings.version .. " "
    end
    if settings.authorization then
        -- Who brings the same word as the one whose answer was kept may have it. Not the word itself: keys are on disk.
        key = key .. ngx.md5(var.http_authorization or "") .. " "
    end
    var.edge_key = key .. path
    var.edge_accept = class
    var.edge_source = found.id
    if found.foreign or (found.expires > 0 and ngx.time() >= found.expires) then
        -- Past its time a node has to refuse it: no kept answer, however stale answers are used otherwise.
        var.edge_bypass = NEVER
    elseif #path <= LONGEST and passing:get(var.edge_key) then
        var.edge_bypass = "now"
    end
end

local FORWARDED = { MISS = "uri-miss", EXPIRED = "stale", BYPASS = "bypass" }
local KEPT = {
    HIT = "edge; hit",
    STALE = "edge; hit; detail=stale",
    UPDATING = "edge; hit; detail=updating",
    REVALIDATED = "edge; hit; fwd=stale; fwd-status=304; detail=revalidated",
}

-- How old a kept answer is (RFC 9111 §4.2.3): since a node dated it, or since one last said that it is still good.
local function age(var, status)
    local now = ngx.time()
    if status == "REVALIDATED" then
        renewed:set(ngx.md5(var.edge_key), now, RENEWAL_SECONDS)
        return 0
    end
    local dated = ngx.parse_http_time(var.upstream_http_date or "")
    local here = math.max(0, dated and now - dated or 0)
    local lifetime = tonumber(var.upstream_http_x_accel_expires)
    if lifetime and here > lifetime then
        local since = renewed:get(ngx.md5(var.edge_key))
        if since then
            return now - since
        elseif status == "HIT" then
            -- Renewed before the last restart, or it would not be a hit.
            return lifetime
        end
    end
    return here + seconds(var.upstream_http_age)
end

-- Whether nginx would keep an answer, as far as its headers say.
local function is_storable(var)
    local lifetime = tonumber(var.upstream_http_x_accel_expires)
    if lifetime then
        return lifetime > 0
    end
    local control = string.lower(var.upstream_http_cache_control or "")
    for _, word in ipairs { "no-cache", "no-store", "private" } do
        if string.find(control, word, 1, true) then
            return false
        end
    end
    return seconds(string.match(control, "max%-age=(%d+)")) > 0
end

-- Whether an answer that a node just gave may be kept.
local function may_be_kept(var)
    -- Errors never: nginx would answer with them once more before it asks whether they are over.
    if var.edge_bypass == NEVER or ngx.status >= 400 or not is_storable(var) then
        return false
    end
    -- From the key, not from the record: a purge may have come since the request did.
    local generation = tonumber(string.match(var.edge_key, "^[^ ]* (%d+) "))
    if seconds(var.upstream_http_x_imgproxy_generation) < generation then
        return false
    end
    -- An expiry that the URL does not show (a preset's) could not be enforced here.
    local expires = seconds(var.upstream_http_x_imgproxy_expires)
    return expires == 0 or expires == path_read(path_of(var.request_uri)).expires
end

local function remember_passing(var, keep, status)
    local bypass, code, key = var.edge_bypass, ngx.status, var.edge_key
    if bypass == NEVER or #key > 2 * LONGEST then
        return
    elseif keep then
        if bypass ~= "" then
            passing:delete(key)
        end
    elseif status == "EXPIRED" and code >= 400 and code < 500 then
        passing:set(key, true, GONE_SECONDS)
    elseif code ~= 403 and (bypass == "" or (passing:ttl(key) or 0) <= PASSING_SECONDS) then
        -- Not for 403: who sends wrong signatures has no claim to memory.
        passing:set(key, true, PASSING_SECONDS)
    end
end

-- Before the answer's head goes out, and before nginx decides whether to keep the answer.
function edge.describe()
    local var = ngx.var
    local status = var.upstream_cache_status
    if KEPT[status] then
        -- What a node called stale is so here too, however short a time ago it came.
        local stale = status == "HIT" and string.find(var.upstream_http_cache_status or "", "/stale", 1, true)
        var.edge_cache_status = stale and KEPT.STALE or KEPT[status]
        var.edge_age = age(var, status)
        if stale or status == "STALE" or status == "UPDATING" then
            -- A better one is on its way: nobody should keep this one as long as a fresh one.
            ngx.header["Cache-Control"] = "max-age=5, public"
            ngx.header["CDN-Cache-Control"] = nil
        end
        return
    end
    local keep = may_be_kept(var)
    var.edge_no_store = keep and "" or "1"
    var.edge_age = var.upstream_http_age or ""
    if FORWARDED[status] then
        var.edge_cache_status = "edge; fwd=" .. FORWARDED[status] .. (keep and "; stored" or "")
        remember_passing(var, keep, status)
    end
end

return edge
