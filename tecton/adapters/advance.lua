-- Say how far a view has come. KEYS[1] that: a hash of `batch` and `erased`; KEYS[2] the loads under
-- way. ARGV[1] and ARGV[2] the new values, ARGV[3] the load that is over, or '' for none. It never
-- goes back. A load that this server has not begun (begin.lua) has lost rows: answers 0.
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
local had = redis.call('HMGET', KEYS[1], 'batch', 'erased')
-- The driver may have sent this very call twice.
local is_done = had[1] == ARGV[1] and had[2] == ARGV[2]
if ARGV[3] ~= '' and not is_done and redis.call('HGET', KEYS[2], ARGV[3]) ~= server then
  return 0
end
for i, field in ipairs({ 'batch', 'erased' }) do
  if tonumber(had[i] or '0') < tonumber(ARGV[i]) then
    redis.call('HSET', KEYS[1], field, ARGV[i])
  end
end
redis.call('HDEL', KEYS[2], ARGV[3])
return 1
