-- JSON as purges are sent in: Debian's Lua comes without a decoder. Strict, and no deeper than it has to be.

local json = {}

local LITERALS = { ["true"] = true, ["false"] = false }
local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local DEEPEST = 4

local value_at

local function utf8(code)
    if code < 0x80 then
        return string.char(code)
    elseif code < 0x800 then
        return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
    elseif code < 0x10000 then
        return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
    end
    return string.char(
        0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
        0x80 + math.floor(code / 64) % 64, 0x80 + code % 64
    )
end

local function skip(text, place)
    return string.find(text, "[^ \t\r\n]", place) or #text + 1
end

local function string_at(text, place)
    local parts = {}
    while true do
        local plain, stop = string.match(text, '^([^"\\%c]*)()', place)
        parts[#parts + 1] = plain
        local letter = string.sub(text, stop, stop)
        if letter == '"' then
            return table.concat(parts), stop + 1
        end
        assert(letter == "\\", "a string that does not end")
        local kind = string.sub(text, stop + 1, stop + 1)
        if kind == "u" then
            local high = assert(tonumber(string.match(text, "^%x%x%x%x", stop + 2) or "", 16), "a bad \\u")
            place = stop + 6
            local low = high >= 0xD800 and high < 0xDC00 and string.match(text, "^\\u([dD][c-fC-F]%x%x)", place)
            if low then
                high = 0x10000 + (high - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00
                place = place + 6
            end
            parts[#parts + 1] = utf8(high)
        else
            parts[#parts + 1] = assert(ESCAPES[kind], "a bad escape")
            place = stop + 2
        end
    end
end

local function array_at(text, place, depth)
    local found = {}
    place = skip(text, place)
    if string.sub(text, place, place) == "]" then
        return found, place + 1
    end
    while true do
        found[#found + 1], place = value_at(text, place, depth)
        place = skip(text, place)
        local letter = string.sub(text, place, place)
        if letter == "]" then
            return found, place + 1
        end
        assert(letter == ",", "expected , or ]")
        place = place + 1
    end
end

local function object_at(text, place, depth)
    local found = {}
    place = skip(text, place)
    if string.sub(text, place, place) == "}" then
        return found, place + 1
    end
    while true do
        place = skip(text, place)
        assert(string.sub(text, place, place) == '"', "expected a name")
        local name
        name, place = string_at(text, place + 1)
        place = skip(text, place)
        assert(string.sub(text, place, place) == ":", "expected :")
        found[name], place = value_at(text, place + 1, depth)
        place = skip(text, place)
        local letter = string.sub(text, place, place)
        if letter == "}" then
            return found, place + 1
        end
        assert(letter == ",", "expected , or }")
        place = place + 1
    end
end

function value_at(text, place, depth)
    assert(depth <= DEEPEST, "nested too deeply")
    place = skip(text, place)
    local letter = string.sub(text, place, place)
    if letter == '"' then
        return string_at(text, place + 1)
    elseif letter == "[" then
        return array_at(text, place + 1, depth + 1)
    elseif letter == "{" then
        return object_at(text, place + 1, depth + 1)
    end
    local word, stop = string.match(text, "^([%w.+-]+)()", place)
    if LITERALS[word] ~= nil then
        return LITERALS[word], stop
    end
    -- Not all that tonumber takes: 0x10, inf and nan are no JSON.
    assert(word and string.find(word, "^-?%d+%.?%d*[eE]?[+-]?%d*$"), "expected a value")
    return assert(tonumber(word), "expected a number"), stop
end

-- The value of a text, or nil and what is wrong with it.
function json.decode(text)
    local good, value, place = pcall(value_at, text, 1, 0)
    if not good then
        return nil, (string.gsub(value, "^.-:%d+: ", ""))
    elseif skip(text, place) <= #text then
        return nil, "text behind the value"
    end
    return value
end

return json
