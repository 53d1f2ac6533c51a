-- What of a trie is to be sealed. KEYS[1] the trie; ARGV[1] its layout, ARGV[2] about how many
-- parts to answer at once. Deletes dropped blocks on the way.
-- Answers 1 if there is more to do, then five for each part, the parts of a directory before it:
-- kind, the directory that has its entry, the entry's beginning, name, bytes. Kinds: 'L' a leaf and
-- 'D' a directory that are to be sealed; where summaries are bulky, also what else is needed of the
-- parts of such a directory: 'l' a leaf that is sealed, and 'd' the further summary of a directory.
use(KEYS[1], ARGV[1])
local budget = tonumber(ARGV[2])
local root = redis.call('HGET', key, 'r')
if not root then
  return { 0 }
end
local kept, is_all = delete_dropped(root, 10 * budget)
if kept ~= root then
  redis.call('HSET', key, 'r', kept)
end
local newest = read('>I7', kept)
local answer = { is_all and 0 or 1 }

-- Strings can make a leaf large, so bytes count too.
local function add(kind, parent, entry, name, bytes)
  budget = budget - floor(#bytes / 16384)
  for _, value in ipairs({ kind, parent, entry, name, bytes }) do
    answer[#answer + 1] = value
  end
end

-- Of a directory that is about to be answered: what its parts that are sealed already hold.
local function add_sealed(parent, entries, level, start, digits)
  for at = 1, #entries, 1 + summary_width do
    local head = byte(entries, at)
    if head % 2 == 1 then
      local name = name_in(level, start, digits, floor(head / 16), floor(head / 4) % 4)
      if is_directory(head) then
        add('d', parent, char(head - 1), name, redis.call('HGET', key, '\255' .. name))
      else
        add('l', parent, char(head - 1), name, redis.call('HGET', key, name))
      end
    end
  end
end

local visit

-- Answer the unsealed parts of a directory; is none left?
local function visit_all(name, entries, level, start, digits)
  local is_complete = true
  for at = 1, #entries, 1 + summary_width do
    local head = byte(entries, at)
    if head % 2 == 0 then
      local slot, bits = floor(head / 16), floor(head / 4) % 4
      local _, last = range_in(level, start, slot, bits)
      local deeper, from, more = below(level, start, digits, slot)
      local child = name_in(level, start, digits, slot, bits)
      local done = visit(name, char(head), child, is_directory(head), last, deeper, from, more)
      is_complete = done and is_complete
    end
  end
  return is_complete
end

visit = function(parent, entry, name, is_dir, last, level, start, digits)
  if budget <= 0 then
    answer[1] = 1
    return false
  end
  if not is_dir then
    if last <= newest then
      budget = budget - 1
      add('L', parent, entry, name, redis.call('HGET', key, name))
    end
    return last <= newest
  end
  local entries = redis.call('HGET', key, name)
  if not visit_all(name, entries, level, start, digits) or last > newest then
    return false
  end
  if is_bulky == 1 then
    add_sealed(name, entries, level, start, digits)
  end
  budget = budget - 1
  add('D', parent, entry, name, entries)
  return true
end

for at = 8, #kept, 8 + summary_width do
  local start, head = read('>I7B', kept, at)
  if head % 8 < 4 and head % 2 == 0 then
    local name = pack('>BI7', block_level, start)
    local last = start + 2 ^ block_level - 1
    visit('r', sub(kept, at, at + 7), name, is_directory(head), last, block_level, start, '')
  end
end
return answer
