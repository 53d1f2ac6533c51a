-- What the windows of one key hold. KEYS[1] the trie; ARGV[1] its layout, ARGV[2] now (µs),
-- ARGV[3] the windows (7 bytes each), ascending.
-- Answers nothing if no event is in the longest window, or else: the newest timestamp (7 bytes),
-- the number of closed parts that were not sealed, the loose events, and for each segment (what
-- a window has beyond the one before it) its summaries without digests, and further ones (each after its length).
use(KEYS[1], ARGV[1])
local root = redis.call('HGET', key, 'r')
if not root then
  return false
end
local newest = read('>I7', root)
local at = math.max(newest, tonumber(ARGV[2]))
local segments = #ARGV[3] / 7
-- A window covers what is after its edge.
local edges, summaries, further = {}, {}, {}
for i = 1, segments do
  edges[i] = at - read('>I7', ARGV[3], 7 * i - 6)
  summaries[i], further[i] = {}, {}
end
if newest <= edges[segments] then
  return false
end
local loose, unsealed = {}, 0
local digest_width = 8 * is_bulky

local function segment_of(timestamp)
  for i = 1, segments do
    if timestamp > edges[i] then
      return i
    end
  end
  return segments + 1
end

local take

-- Take the parts in a directory; all are in `segment` if it is given.
local function take_all(name, level, start, digits, segment)
  local entries = redis.call('HGET', key, name)
  for entry = 1, #entries, 1 + summary_width do
    local head = byte(entries, entry)
    local slot, bits = floor(head / 16), floor(head / 4) % 4
    local first, last = range_in(level, start, slot, bits)
    take(entries, entry, head, segment, first, last, level, start, digits, slot, bits)
  end
end

-- The segment that a part is in; nil: several; false: none.
local function segment_in(first, last)
  local newer = segment_of(last)
  if newer > segments then
    return false
  end
  return segment_of(first) == newer and newer or nil
end

take = function(entries, entry, head, segment, first, last, level, start, digits, slot, bits)
  segment = segment or segment_in(first, last)
  if segment == false then
    return
  end
  local name = slot and name_in(level, start, digits, slot, bits)
    or pack('>BI7', block_level, start)
  local is_dir = is_directory(head)
  if segment and head % 2 == 1 and (is_dir or is_bulky == 0) then
    local found = summaries[segment]
    found[#found + 1] = sub(entries, entry + 1 + digest_width, entry + summary_width)
    if is_bulky == 1 then
      local more = redis.call('HGET', key, '\255' .. name)
      further[segment][#further[segment] + 1] = pack('>I4', #more) .. more
    end
    return
  end
  if head % 2 == 0 and last <= newest then
    unsealed = unsealed + 1
  end
  if not is_dir then
    loose[#loose + 1] = redis.call('HGET', key, name)
  elseif slot then
    local deeper, from, more = below(level, start, digits, slot)
    take_all(name, deeper, from, more, segment)
  else
    take_all(name, level, start, digits, segment)
  end
end

for block = 8, #root, 8 + summary_width do
  local start, head = read('>I7B', root, block)
  if head % 8 < 4 then
    take(root, block + 7, head, nil, start, start + 2 ^ block_level - 1, block_level, start, '')
  end
end
local answer = { sub(root, 1, 7), unsealed, table.concat(loose) }
for i = 1, segments do
  answer[#answer + 1] = table.concat(summaries[i])
  answer[#answer + 1] = table.concat(further[i])
end
return answer
