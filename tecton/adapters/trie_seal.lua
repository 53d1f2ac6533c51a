-- Seal parts of a trie. KEYS[1] the trie; ARGV[1] its layout; then for each part, those of a
-- directory before it: the directory that has its entry, the entry's beginning, the part's name,
-- SHA-1 of the bytes that the summary is of, the summary, and the further one or ''.
-- A part whose bytes have changed since is left alone. Answers how many are sealed.
use(KEYS[1], ARGV[1])

local function find(entries, is_root, entry)
  local from = is_root and 8 or 1
  for at = from, #entries, #entry + summary_width do
    if sub(entries, at, at + #entry - 1) == entry then
      return at
    end
  end
end

local sealed = 0
for i = 2, #ARGV, 6 do
  local parent, entry, name, digest = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local bytes = redis.call('HGET', key, name)
  if bytes and redis.sha1hex(bytes) == digest then
    local entries = redis.call('HGET', key, parent)
    local at = entries and find(entries, parent == 'r', entry)
    if at then
      local head = sub(entry, 1, -2) .. char(byte(entry, -1) + 1)
      local after = sub(entries, at + #entry + summary_width)
      redis.call('HSET', key, parent, sub(entries, 1, at - 1) .. head .. ARGV[i + 4] .. after)
      if ARGV[i + 5] ~= '' then
        redis.call('HSET', key, '\255' .. name, ARGV[i + 5])
      end
      sealed = sealed + 1
    end
  end
end
return sealed
