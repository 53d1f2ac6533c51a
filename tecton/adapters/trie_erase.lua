-- Delete the events that were accepted up to an erasure. KEYS[1] is a trie, ARGV[1] its layout;
-- ARGV[2] and ARGV[3] are the greatest sequences, as they are stored, of a pushed event and of a
-- batch row that go. Those that stay are offered again to the empty trie, so it has the shape that
-- they alone give it.
local pushed, batch = ARGV[2], ARGV[3]
local kept = {}

local function keep(leaf)
  local count, starts = events_of(leaf)
  for n = 1, count do
    local begins, at = place_of(n, starts)
    local sequence = sub(leaf, at + 7 + identity_width, at + 14 + identity_width)
    if is_greater(sequence, byte(sequence) >= 128 and pushed or batch) then
      kept[#kept + 1] = sub(leaf, begins, (place_of(n + 1, starts)) - 1)
    end
  end
end

local function look_into(name, is_dir, level, start, digits)
  local value = redis.call('HGET', key, name) or ''
  if not is_dir then
    return keep(value)
  end
  for at = 1, #value, 1 + summary_width do
    local head = byte(value, at)
    local slot, bits = floor(head / 16), floor(head / 4) % 4
    local child = name_in(level, start, digits, slot, bits)
    local deeper, from, more = below(level, start, digits, slot)
    look_into(child, is_directory(head), deeper, from, more)
  end
end

use(KEYS[1], ARGV[1])
local root = redis.call('HGET', key, 'r') or ''
for at = 8, #root, 8 + summary_width do
  local start, head = read('>I7B', root, at)
  if head % 8 < 4 then
    look_into(pack('>BI7', block_level, start), is_directory(head), block_level, start, '')
  end
end
redis.call('DEL', KEYS[1])
if #kept > 0 then
  upsert(KEYS[1], ARGV[1], table.concat(kept))
end
return 1
