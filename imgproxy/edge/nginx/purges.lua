-- What was purged, as generations (imgproxy/caches/purges.py). Nothing is deleted: the newest generation that concerns
-- a URL is part of its cache key, so older entries are not found any more, and nginx forgets them in its own time.
--
-- The file is the truth: purges are appended to it, every worker reads on in it when the shared version says so, and a
-- restarted nginx reads all of it. A lock is held by whoever writes.

local json = require "json"
local settings = require "settings"

local purges = {}

local MOST = { tag = 50000, prefix = 500 }
local LONGEST = 4096
local NEWEST = 2 ^ 53
local shared = ngx.shared.edge_purges

-- This worker's rules, and how far it has read: in which writing of the file, up to which byte, how many lines; and
-- whether a piece of a line is left at the end.
local rules, counts, all, newest
local seen, writing, offset, lines, torn

local function forget()
    rules, counts = { tag = {}, prefix = {} }, { tag = 0, prefix = 0 }
    all, newest, offset, lines = 0, 0, 0, 0
end

local function raise(generation)
    all = math.max(all, generation)
    for kind, values in pairs(rules) do
        for value, each in pairs(values) do
            if each <= all then
                values[value] = nil
                counts[kind] = counts[kind] - 1
            end
        end
    end
end

-- Let the older half of the rules become one purge of everything that is as old as they are.
local function fold(kind)
    local generations = {}
    for _, generation in pairs(rules[kind]) do
        generations[#generations + 1] = generation
    end
    table.sort(generations)
    raise(generations[math.ceil(#generations / 2)])
end

local function learn(kind, value, generation)
    newest = math.max(newest, generation)
    if generation <= all then
        return
    elseif kind == "all" then
        raise(generation)
        return
    end
    local known = rules[kind][value]
    if known and known >= generation then
        return
    end
    rules[kind][value] = generation
    if not known then
        counts[kind] = counts[kind] + 1
        if counts[kind] > MOST[kind] then
            fold(kind)
        end
    end
end

-- Read on in the file. Only whole lines count: another worker may be writing the next one.
local function catch_up(version)
    local file = io.open(settings.purges_path, "rb")
    if file then
        local head = file:read("*l")
        if head ~= writing then
            forget()
            writing, offset = head, file:seek()
        end
        file:seek("set", offset)
        local text = file:read("*a") or ""
        file:close()
        local whole = string.match(text, "^.*\n") or ""
        offset, torn = offset + #whole, #whole < #text
        for kind, generation, value in string.gmatch(whole, "(%l+) (%d+) ([^\n]*)\n") do
            lines = lines + 1
            if kind == "all" or rules[kind] then
                learn(kind, value, tonumber(generation))
            end
        end
    end
    seen = version
end

-- What the purges are now: changes whenever one is added.
function purges.version()
    local version = shared:get("version") or 0
    if version ~= seen then
        catch_up(version)
    end
    return version
end

-- The newest generation that concerns what urls.read found; 0 if there is none.
function purges.generation(found)
    if found.vague then
        return newest
    end
    local generation, by_tag = all, rules.tag
    if counts.tag > 0 then
        for _, tag in ipairs(found.tags) do
            generation = math.max(generation, by_tag[tag] or 0)
        end
    end
    if counts.prefix > 0 and found.url then
        for prefix, each in pairs(rules.prefix) do
            if each > generation and string.sub(found.url, 1, #prefix) == prefix then
                generation = each
            end
        end
    end
    return generation
end

local function line(kind, generation, value)
    return string.format("%s %.0f %s\n", kind, generation, value)
end

local function written(path, mode, text)
    local file, problem = io.open(path, mode)
    if not file then
        return nil, problem
    end
    file:setvbuf("full", #text + 1)  -- one write: readers see whole lines or none
    local good
    good, problem = file:write(text)
    if good then
        good, problem = file:flush()
    end
    file:close()
    return good, problem
end

-- Write the file anew, without what has become superfluous.
local function rewrite()
    local parts = { string.format("purges %.3f-%d\n", ngx.now(), ngx.worker.pid()) }
    if all > 0 then
        parts[2] = line("all", all, "")
    end
    for kind, values in pairs(rules) do
        for value, generation in pairs(values) do
            parts[#parts + 1] = line(kind, generation, value)
        end
    end
    local fresh = settings.purges_path .. ".new"
    local good, problem = written(fresh, "wb", table.concat(parts))
    if not good then
        return nil, problem
    end
    return os.rename(fresh, settings.purges_path)
end

local function append(text)
    local live = counts.tag + counts.prefix
    if offset == 0 or torn or lines > 4 * live + 1000 then
        local good, problem = rewrite()
        if not good then
            return nil, problem
        end
    end
    return written(settings.purges_path, "ab", text)
end

local function locked(action)
    local patience = ngx.now() + 2
    while not shared:add("lock", true, 10) do
        if ngx.now() > patience then
            return nil, "another purge is being written"
        end
        ngx.sleep(0.002)
    end
    local ran, good, problem = pcall(action)
    shared:delete("lock")
    if not ran then
        return nil, good
    end
    return good, problem
end

local function read(each)
    if type(each) ~= "table" then
        return nil, "expected an array of objects"
    end
    local kind, value, generation = each.kind, each.value or "", each.generation
    if kind ~= "all" and not rules[kind or ""] then
        return nil, 'expected the kind "tag", "prefix" or "all"'
    elseif type(generation) ~= "number" or generation < 1 or generation > NEWEST or generation % 1 ~= 0 then
        return nil, "expected a generation, a whole number above 0"
    elseif type(value) ~= "string" or #value > LONGEST or string.find(value, "%c") then
        return nil, "expected a value without control characters, 4096 bytes at most"
    elseif (kind == "all") ~= (value == "") then
        return nil, "expected a value for a tag or prefix, and none for all"
    end
    return line(kind, generation, value)
end

local function answer(status, text)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #text + 1
    ngx.say(text)
    return ngx.exit(ngx.OK)
end

local function complain(status, problem)
    return answer(status, string.format('{"error":"%s"}', string.gsub(problem, '[%c"\\]', " ")))
end

local function trusted()
    local token = settings.purge_token
    -- Digests are compared: how long that takes tells nothing of the token.
    return token == "" or ngx.md5(ngx.var.http_authorization or "") == ngx.md5("Bearer " .. token)
end

local function take()
    ngx.req.read_body()
    local list, problem = json.decode(ngx.req.get_body_data() or "")
    if type(list) ~= "table" then
        return complain(400, problem or "expected an array")
    end
    local texts = {}
    for place, each in ipairs(list) do
        texts[place], problem = read(each)
        if problem then
            return complain(400, problem)
        end
    end
    if #texts > 0 then
        local good
        good, problem = locked(function()
            catch_up(shared:get("version") or 0)
            local done, trouble = append(table.concat(texts))
            if done then
                shared:incr("version", 1, 0)
            end
            return done, trouble
        end)
        if not good then
            ngx.log(ngx.CRIT, "purges cannot be kept: ", problem)
            return complain(500, "purges cannot be kept: " .. tostring(problem))
        end
        purges.version()
    end
    return answer(200, string.format('{"taken":%d,"newest":%.0f}', #texts, newest))
end

-- The purge listener: POST takes purges, GET says what there is.
function purges.serve()
    if not trusted() then
        return complain(403, "the token is missing or wrong")
    end
    local method = ngx.req.get_method()
    if method == "POST" then
        return take()
    elseif method ~= "GET" then
        return complain(405, "expected GET or POST")
    end
    purges.version()
    local text = '{"newest":%.0f,"all":%.0f,"tags":%d,"prefixes":%d}'
    return answer(200, string.format(text, newest, all, counts.tag, counts.prefix))
end

forget()
catch_up(shared:get("version") or 0)

return purges
