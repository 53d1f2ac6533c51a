-- Hand out ARGV[1] sequences, all at least ARGV[2] and above ARGV[3]; answers the first.
-- Or answers the counter's life, a text, where sequences above `last` may have been given: the
-- counter is missing; another server wrote it, so that a restart, failover or old snapshot may have
-- set it back; or it is below ARGV[3], which the caller was given once. Whoever has then looked into
-- the logs asks again with that life as ARGV[4] (docs/decisions/0033).
-- KEYS[1] the counter: `last`, its `life`, and the life of which somebody has made `sure`.
-- Sequences are about µs since 1970, so exact in Lua's doubles until the year 2255.
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
local counter = redis.call('HMGET', KEYS[1], 'last', 'life', 'sure')
local last, life = tonumber(counter[1] or '0'), counter[2] or ''
local is_sure, given = counter[3] == life, tonumber(ARGV[3])
if string.sub(life, 1, #server + 1) ~= server .. ':' or is_sure and last < given then
  local time = redis.call('TIME')
  life = server .. ':' .. time[1] .. '.' .. time[2]
  redis.call('HSET', KEYS[1], 'life', life)
  return life
end
if not is_sure and ARGV[4] ~= life then
  return life
end
last = math.max(last, tonumber(ARGV[2]) - 1, given)
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', last + tonumber(ARGV[1])), 'sure', life)
return last + 1
