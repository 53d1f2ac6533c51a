-- See that the counter at KEYS[1] (reserve.lua) is at least ARGV[1], a sequence that is logged.
local last = redis.call('HGET', KEYS[1], 'last')
if tonumber(last or '0') < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'last', ARGV[1])
end
return 1
