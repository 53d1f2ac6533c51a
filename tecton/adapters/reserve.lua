-- Hand out ARGV[1] sequences, all at least ARGV[2]; answers the first.
-- Sequences are about µs since 1970, so exact in Lua's doubles until the year 2255.
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local floor = tonumber(ARGV[2])
if last < floor - 1 then
  last = floor - 1
end
redis.call('SET', KEYS[1], string.format('%.0f', last + tonumber(ARGV[1])))
return last + 1
