-- Mark views as loaded: KEYS are pairs of a view's marker and its loads under way.
-- ARGV[1] the load, or '' where nothing had to be offered. A load that Redis knows nothing of has
-- been lost with some of its rows: answers 0 and marks nothing.
if ARGV[1] ~= '' then
  for i = 2, #KEYS, 2 do
    if redis.call('HEXISTS', KEYS[i], ARGV[1]) == 0 then
      return 0
    end
  end
end
for i = 1, #KEYS, 2 do
  redis.call('SET', KEYS[i], '1')
  redis.call('HDEL', KEYS[i + 1], ARGV[1])
end
return 1
