-- Mark views as loaded: KEYS are pairs of a view's marker and its loads under way.
-- ARGV[1] the load, or '' where nothing had to be offered. A load that Redis knows nothing of has
-- been lost with some of its rows: answers 0 and marks nothing.
if ARGV[1] ~= '' then
  for i = 1, #KEYS, 2 do
    -- The marker names the load that set it: the driver may have sent this very mark twice.
    if redis.call('HEXISTS', KEYS[i + 1], ARGV[1]) == 0 and redis.call('GET', KEYS[i]) ~= ARGV[1] then
      return 0
    end
  end
end
for i = 1, #KEYS, 2 do
  redis.call('SET', KEYS[i], ARGV[1] == '' and '1' or ARGV[1])
  redis.call('HDEL', KEYS[i + 1], ARGV[1])
end
return 1
