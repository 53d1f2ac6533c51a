-- How events are offered to one trie; trie_upsert.lua and trie_erase.lua do it. An event is
-- timestamp 7, identity, and then what decides which of one identity counts: the greater bytes do.

-- Fields of the key by name, as this script leaves them; false: none.
local fields, changed

local function get(name)
  local value = fields[name]
  if value == nil then
    value = redis.call('HGET', key, name)
    fields[name] = value
  end
  return value
end

local function put(name, value)
  fields[name] = value
  changed[name] = true
end

local newest, zeros, has_work

-- Bytes are compared one by one: Lua's < follows the locale of the server.
local function is_greater(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then
      return x > y
    end
  end
  return #a > #b
end

-- How many events a leaf has and, if their width differs, where each begins and one past the end.
local function events_of(leaf)
  if event_width > 0 then
    return #leaf / event_width
  end
  local starts, at = {}, 1
  while at <= #leaf do
    starts[#starts + 1] = at
    at = at + 4 + read('>I4', leaf, at)
  end
  starts[#starts + 1] = at
  return #starts - 1, starts
end

-- Where the n-th event of a leaf begins, its length included; and where its timestamp does.
local function place_of(n, starts)
  if starts then
    return starts[n], starts[n] + 4
  end
  local at = (n - 1) * event_width + 1
  return at, at
end

local function as_stored(event)
  return event_width > 0 and event or pack('>I4', #event) .. event
end

-- Does the identity at a place come before that of an event?
local function is_before(leaf, at, event)
  if identity_width == 0 then
    return false
  end
  local high, low = read('>I4I4', leaf, at)
  local event_high, event_low = read('>I4I4', event, 8)
  if high ~= event_high then
    return high < event_high
  end
  return low < event_low
end

-- The leaf with the event, nil if that changes nothing; and how many events it has.
local function with_event(leaf, event, timestamp)
  local count, starts = events_of(leaf)
  -- Most events come in order, so the last one is looked at first.
  local from, to, middle = 1, count + 1, count
  while from < to do
    local _, at = place_of(middle, starts)
    local other = read('>I7', leaf, at)
    if other < timestamp or other == timestamp and is_before(leaf, at + 7, event) then
      from = middle + 1
    else
      to = middle
    end
    middle = floor((from + to) / 2)
  end
  local begins, at = place_of(from, starts)
  local fixed = 7 + identity_width
  if from > count or sub(leaf, at, at + fixed - 1) ~= sub(event, 1, fixed) then
    return sub(leaf, 1, begins - 1) .. as_stored(event) .. sub(leaf, begins), count + 1
  end
  local after = place_of(from + 1, starts)
  if not is_greater(sub(event, fixed + 1), sub(leaf, at + fixed, after - 1)) then
    return nil
  end
  return sub(leaf, 1, begins - 1) .. as_stored(event) .. sub(leaf, after), count
end

-- Which slot of a directory an event belongs in; `at` is where its timestamp is.
local function slot_of(level, start, bytes, at)
  if level > 0 then
    return floor((read('>I7', bytes, at) - start) / 2 ^ unit_of(level))
  end
  local pair = byte(bytes, at + 7 + floor(-level / 2))
  return level % 2 == 0 and floor(pair / 16) or pair % 16
end

-- A leaf in two: the events of slots before `slot` and the others, and how many each has.
local function divide(leaf, level, start, slot)
  local count, starts = events_of(leaf)
  local first = 1
  local begins, at = place_of(first, starts)
  while first <= count and slot_of(level, start, leaf, at) < slot do
    first = first + 1
    begins, at = place_of(first, starts)
  end
  return sub(leaf, 1, begins - 1), sub(leaf, begins), first - 1, count - first + 1
end

-- Put a leaf with too many events in as many as it takes.
-- `parent` is the directory with its entry at `at`, of this level, start and digits.
local function split(leaf, count, parent, at, level, start, digits)
  local head = byte(get(parent), at)
  local slot, bits = floor(head / 16), floor(head / 4) % 4
  local name
  if parent == 'r' then
    bits = 0
    name = pack('>BI7', block_level, (read('>I7', get(parent), at - 7)))
  else
    name = name_in(level, start, digits, slot, bits)
  end
  while count > limit do
    if bits == 0 then
      -- A directory takes its place, with one entry for all slots that is divided at once.
      local entries = get(parent)
      put(parent, sub(entries, 1, at - 1) .. char(byte(entries, at) + 2) .. sub(entries, at + 1))
      if parent == 'r' then
        level, start, digits = block_level, (read('>I7', name, 2)), ''
      else
        level, start, digits = below(level, start, digits, slot)
      end
      put(name, '')
      parent, at, slot, bits = name, 1, 0, half_of(level) + 1
    else
      put(name, false)
    end
    bits = bits - 1
    local other = slot + 2 ^ bits
    local left, right, on_left, on_right = divide(leaf, level, start, other)
    local entries = get(parent)
    local after = sub(entries, at + 1 + summary_width)
    entries = sub(entries, 1, at - 1)
    if on_left > 0 then
      put(name_in(level, start, digits, slot, bits), left)
      entries = entries .. char(slot * 16 + bits * 4) .. zeros
    end
    if on_right > 0 then
      put(name_in(level, start, digits, other, bits), right)
      entries = entries .. char(other * 16 + bits * 4) .. zeros
    end
    put(parent, entries .. after)
    leaf, count = left, on_left
    if on_right > limit then
      at = at + (on_left > 0 and 1 + summary_width or 0)
      leaf, count, slot = right, on_right, other
    end
    name = name_in(level, start, digits, slot, bits)
  end
end

-- Where a block's entry is or belongs in the root, and whether it is there.
local function find_block(root, start)
  local width = 8 + summary_width
  local at = #root - width + 1
  while at >= 8 do
    local other = read('>I7', root, at)
    if other == start then
      return at, true
    end
    if other < start then
      break
    end
    at = at - width
  end
  return at + width, false
end

-- Where a slot's entry is or belongs, and its head; without one the free slots around: the first,
-- and the one after the last.
local function find_slot(entries, slot, slots)
  local step = 1 + summary_width
  -- No two entries have one slot, so this is not before it.
  local at = math.min(slot * step, #entries - step) + 1
  while at > 0 do
    local head = byte(entries, at)
    local free = floor(head / 16)
    if free <= slot then
      free = free + 2 ^ (floor(head / 4) % 4)
      if slot < free then
        return at, head
      end
      at = at + step
      return at, nil, free, at <= #entries and floor(byte(entries, at) / 16) or slots
    end
    at = at - step
  end
  return 1, nil, 0, floor(byte(entries, 1) / 16)
end

-- What is known of the parts on a path holds no more.
local function unseal(path)
  for i = 1, #path, 2 do
    local name, at = path[i], path[i + 1]
    local entries = get(name)
    local head = byte(entries, at)
    if head % 2 == 1 then
      local after = sub(entries, at + 1 + summary_width)
      put(name, sub(entries, 1, at - 1) .. char(head - 1) .. zeros .. after)
    end
  end
end

-- A leaf has changed. Is it closed, or has it closed another?
local function note(before, first, last)
  if last <= newest or before and before < first then
    has_work = true
  end
end

local function add_entry(name, entries, at, head, leaf_name, event)
  put(name, sub(entries, 1, at - 1) .. head .. zeros .. sub(entries, at))
  put(leaf_name, as_stored(event))
end

local function offer(event)
  local timestamp = read('>I7', event)
  local span = 2 ^ block_level
  local block = timestamp - timestamp % span
  if newest and block + span - 1 <= newest - window then
    return
  end
  local before = newest
  newest = math.max(newest or timestamp, timestamp)
  local root = get('r') or pack('>I7', 0)
  local at, is_there = find_block(root, block)
  local name = pack('>BI7', block_level, block)
  if not is_there then
    note(before, block, block + span - 1)
    return add_entry('r', root, at, pack('>I7B', block, 0), name, event)
  end
  local path = { 'r', at + 7 }
  local head = byte(root, at + 7)
  local first, last = block, block + span - 1
  -- The directory that the loop looks into, and the one above it.
  local level, start, digits = block_level, block, ''
  local parent_level, parent_start, parent_digits
  while is_directory(head) do
    local entries = get(name)
    local slot = slot_of(level, start, event, 1)
    local free, free_end
    at, head, free, free_end = find_slot(entries, slot, 2 * 2 ^ half_of(level))
    if not head then
      -- The largest aligned range that is free: all ranges above it have been split.
      local bits = half_of(level)
      local from = slot - slot % 2 ^ bits
      while from < free or from + 2 ^ bits > free_end do
        bits = bits - 1
        from = slot - slot % 2 ^ bits
      end
      unseal(path)
      note(before, range_in(level, start, from, bits))
      local leaf_name = name_in(level, start, digits, from, bits)
      return add_entry(name, entries, at, char(from * 16 + bits * 4), leaf_name, event)
    end
    path[#path + 1] = name
    path[#path + 1] = at
    slot = floor(head / 16)
    local bits = floor(head / 4) % 4
    first, last = range_in(level, start, slot, bits)
    name = name_in(level, start, digits, slot, bits)
    parent_level, parent_start, parent_digits = level, start, digits
    level, start, digits = below(level, start, digits, slot)
  end
  local leaf, count = with_event(get(name), event, timestamp)
  if leaf then
    unseal(path)
    note(before, first, last)
    if count > limit then
      has_work = true
      split(leaf, count, path[#path - 1], path[#path], parent_level, parent_start, parent_digits)
    else
      put(name, leaf)
    end
  end
end

local function each(events)
  local at = 1
  while at <= #events do
    local width = event_width
    if width == 0 then
      width = read('>I4', events, at)
      at = at + 4
    end
    offer(sub(events, at, at + width - 1))
    at = at + width
  end
end

-- Drop what is too old, now that the newest event is known.
local function drop()
  local root = get('r')
  for at = 8, #root, 8 + summary_width do
    local start, head = read('>I7B', root, at)
    if start + 2 ^ block_level - 1 > newest - window then
      break
    end
    if head % 8 < 4 then
      root = sub(root, 1, at + 6) .. char(4 + head % 4 - head % 2) .. zeros
        .. sub(root, at + 8 + summary_width)
    end
  end
  put('r', pack('>I7', newest) .. sub(root, 8))
end

local function store()
  local values, gone = {}, {}
  for name in pairs(changed) do
    if fields[name] then
      values[#values + 1] = name
      values[#values + 1] = fields[name]
    else
      gone[#gone + 1] = name
    end
  end
  if #gone > 0 then
    redis.call('HDEL', key, unpack(gone))
  end
  if #values > 0 then
    redis.call('HSET', key, unpack(values))
  end
end

-- Offer events to a key; answers whether it has something to tidy.
local function upsert(name, layout, events)
  use(name, layout)
  fields, changed, has_work = {}, {}, false
  zeros = string.rep('\0', summary_width)
  local root = get('r')
  local before = root and read('>I7', root)
  newest = before
  each(events)
  if newest ~= before then
    drop()
  end
  store()
  if newest ~= before then
    local kept, is_all = delete_dropped(fields['r'], 32)
    if kept ~= fields['r'] then
      redis.call('HSET', key, 'r', kept)
    end
    has_work = has_work or not is_all
    redis.call('PEXPIREAT', key, string.format('%.0f', floor(newest / 1000) + 1 + life))
  end
  return has_work
end
