-- Mark views as loaded. KEYS are triples of a view's marker, its loads under way and how far it has
-- come (advance.lua). ARGV[1] the load, or '' where nothing had to be offered, ARGV[2] and ARGV[3]
-- how far the views have come with it. A load that this server has not begun has been lost with some
-- of its rows: answers 0 and marks nothing.
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
if ARGV[1] ~= '' then
  for i = 1, #KEYS, 3 do
    -- The marker names the load that set it: the driver may have sent this very mark twice.
    if redis.call('HGET', KEYS[i + 1], ARGV[1]) ~= server and redis.call('GET', KEYS[i]) ~= ARGV[1] then
      return 0
    end
  end
end
for i = 1, #KEYS, 3 do
  for place, field in ipairs({ 'batch', 'erased' }) do
    if tonumber(redis.call('HGET', KEYS[i + 2], field) or '0') < tonumber(ARGV[place + 1]) then
      redis.call('HSET', KEYS[i + 2], field, ARGV[place + 1])
    end
  end
  redis.call('SET', KEYS[i], ARGV[1] == '' and '1' or ARGV[1])
  redis.call('HDEL', KEYS[i + 1], ARGV[1])
end
return 1
