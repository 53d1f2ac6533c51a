-- What the scripts of a trie share; each is loaded with this before it (docs/decisions/0027).
--
-- One hash holds the events of one join key in one view. Field 'r' is the root: the newest
-- timestamp, then the blocks, each with its start. A block, and any part of one, is a leaf of
-- events or a directory of parts. A part covers an aligned range of µs whose length is a power of
-- two, and within one µs a range of identities. A directory has up to 16 slots; an entry covers 1,
-- 2, 4 or 8 of them. An entry is its head and what is known of all events in it, its summary:
-- head = slot * 16 + log2 of its slots * 4 + (2 a directory) + (1 sealed: the summary holds).
-- In the root, 4 in the head means dropped: too old to be read, its fields to be deleted.
--
-- A range is split in halves iff it holds more than `limit` events, so that all of this depends on
-- the set of events alone. The field of a part is named by log2 of its length and its start.
-- Within one µs (level <= 0, -level digits of the identity already used) by 64 and the bits that
-- are fixed, the µs, and the digits.
--
-- Timestamps are below 2^53, so exact in Lua's numbers.
local byte, char, sub, floor = string.byte, string.char, string.sub, math.floor
local pack, read = struct.pack, struct.unpack

-- Of a key: where it is, log2 of a block, the longest window, bytes of an event (0: each says its
-- own), of an identity and of a summary, events in a leaf, how long after the newest event it is
-- kept (ms), and whether directories have a further summary in a field of their own.
local key, block_level, window, event_width, identity_width, summary_width, limit, life, is_bulky

local function use(name, layout)
  key = name
  block_level, window, event_width, identity_width, summary_width, limit, life, is_bulky =
    read('>BI7I2BI2I2I7B', layout)
end

local function is_directory(head)
  return head % 4 >= 2
end

-- log2 of the µs in one slot of a directory that spans 2^level.
local function unit_of(level)
  return level > 4 and level - 4 or 0
end

-- log2 of half of a directory's slots.
local function half_of(level)
  return level > 0 and level < 4 and level - 1 or 3
end

local function name_in(level, start, digits, slot, bits)
  if level > 0 then
    local unit = unit_of(level)
    return pack('>BI7', unit + bits, start + slot * 2 ^ unit)
  end
  return pack('>BI7', 68 - 4 * level - bits, start) .. digits .. char(slot)
end

-- The directory in one slot of another: its level, start and digits.
local function below(level, start, digits, slot)
  if level > 0 then
    local unit = unit_of(level)
    return unit, start + slot * 2 ^ unit, digits
  end
  return level - 1, start, digits .. char(slot)
end

-- The first and the last µs of a part.
local function range_in(level, start, slot, bits)
  if level <= 0 then
    return start, start
  end
  local unit = unit_of(level)
  local first = start + slot * 2 ^ unit
  return first, first + 2 ^ (unit + bits) - 1
end

-- Delete the fields of a part, `budget` of them at most; answers what is left of it.
local function delete_part(name, is_dir, level, start, digits, budget)
  if budget <= 0 then
    return 0
  end
  if is_dir then
    local entries = redis.call('HGET', key, name) or ''
    for at = 1, #entries, 1 + summary_width do
      local head = byte(entries, at)
      local slot, bits = floor(head / 16), floor(head / 4) % 4
      local child = name_in(level, start, digits, slot, bits)
      local deeper, from, more = below(level, start, digits, slot)
      budget = delete_part(child, is_directory(head), deeper, from, more, budget)
      if budget <= 0 then
        return 0
      end
    end
  end
  redis.call('HDEL', key, name, '\255' .. name)
  return budget - 1
end

-- Delete dropped blocks from a root that is stored; answers the root, and whether that is all.
local function delete_dropped(root, budget)
  local at = 8
  while at <= #root do
    local start, head = read('>I7B', root, at)
    if head % 8 >= 4 then
      local name = pack('>BI7', block_level, start)
      budget = delete_part(name, is_directory(head), block_level, start, '', budget)
      if budget <= 0 then
        return root, false
      end
      root = sub(root, 1, at - 1) .. sub(root, at + 8 + summary_width)
    else
      at = at + 8 + summary_width
    end
  end
  return root, true
end
