-- What the windows of one key hold. KEYS[1] the trie; ARGV[1] its layout, ARGV[2] now (µs),
-- ARGV[3] the windows (7 bytes each), ascending.
-- Answers nothing if no event is in the longest window, or else: the newest timestamp (7 bytes),
-- the number of closed parts that were not sealed, the loose events, and for each segment (what
-- a window has beyond the one before it) its sealed entries, and further summaries (each
-- after its length).
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

-- Take sealed entries that stand side by side, as they are.
local function take_entries(entries, from, to, segment)
  if segment <= segments and from < to then
    local found = summaries[segment]
    found[#found + 1] = sub(entries, from, to - 1)
  end
end

local take_all

-- Take a part for which its entry does not do. Leaves have no further summary: where those are
-- needed their events are taken. `segment` is nil if the part is in several, or in none in part.
local function take(entries, at, segment, last, name, level, start, digits)
  local head = byte(entries, at)
  if head % 2 == 0 and last <= newest then
    unsealed = unsealed + 1
  end
  if not is_directory(head) then
    loose[#loose + 1] = redis.call('HGET', key, name)
  elseif segment and head % 2 == 1 then
    take_entries(entries, at, at + 1 + summary_width, segment)
    local more = redis.call('HGET', key, '\255' .. name)
    local found = further[segment]
    found[#found + 1] = pack('>I4', #more)
    found[#found + 1] = more
  else
    take_all(name, segment, level, start, digits)
  end
end

-- The slot of a directory at which the segment after `here` begins, and the least head of it.
local function border_after(here, start, unit)
  if here == 1 then
    return math.huge, math.huge
  end
  local border = (edges[here - 1] + 1 - start) / unit
  return border, 16 * math.ceil(border)
end

-- Take the parts in a directory; all are in `segment` if it is given.
take_all = function(name, segment, level, start, digits)
  local entries = redis.call('HGET', key, name)
  local unit = level > 0 and 2 ^ unit_of(level) or 1
  local here, border, turn = segment, math.huge, math.huge
  if not segment then
    -- None: what comes is too old.
    here = segments + 1
    border, turn = border_after(here, start, unit)
  end
  local taken, step, takes_each = 1, 1 + summary_width, is_bulky == 1
  for at = 1, #entries, step do
    local head = byte(entries, at)
    while head >= turn do
      take_entries(entries, taken, at, here)
      taken, here = at, here - 1
      border, turn = border_after(here, start, unit)
    end
    -- It covers 8 slots at most.
    local is_across = head >= turn - 128
      and floor(head / 16) + 2 ^ (floor(head / 4) % 4) > border
    if is_across or (head % 2 == 0 or takes_each) and here <= segments then
      take_entries(entries, taken, at, here)
      taken = at + step
      local slot, bits = floor(head / 16), floor(head / 4) % 4
      local _, last = range_in(level, start, slot, bits)
      local child = name_in(level, start, digits, slot, bits)
      local where = not is_across and here or nil
      take(entries, at, where, last, child, below(level, start, digits, slot))
    end
  end
  take_entries(entries, taken, #entries + 1, here)
end

-- The segment that a time is in; one more than there are: none.
local function segment_of(timestamp)
  for i = 1, segments do
    if timestamp > edges[i] then
      return i
    end
  end
  return segments + 1
end

for block = 8, #root, 8 + summary_width do
  local start, head = read('>I7B', root, block)
  local last = start + 2 ^ block_level - 1
  local where = segment_of(last)
  if head % 8 < 4 and where <= segments then
    where = where == segment_of(start) and where or nil
    if where and head % 2 == 1 and is_bulky == 0 then
      take_entries(root, block + 7, block + 8 + summary_width, where)
    else
      local name = pack('>BI7', block_level, start)
      take(root, block + 7, where, last, name, block_level, start, '')
    end
  end
end
local answer = { sub(root, 1, 7), unsealed, table.concat(loose) }
for i = 1, segments do
  answer[#answer + 1] = table.concat(summaries[i])
  answer[#answer + 1] = table.concat(further[i])
end
return answer
