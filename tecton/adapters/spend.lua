-- Take tokens from buckets that fill steadily; all of them or none.
-- KEYS[1] remembers this payment; KEYS[i + 1] a bucket. ARGV[1] for how long, in ms; then for each
-- bucket its rate a second, its size, and what is taken.
-- Answers 0, or in how many ms there will be enough. A bucket holds at most its size; whoever
-- takes more than that waits for a full one and leaves a debt.
if redis.call('EXISTS', KEYS[1]) == 1 then
  -- The driver has sent this very payment twice.
  return 0
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local left, wait = {}, 0
for i = 1, #KEYS - 1 do
  local rate, size, taken = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local known = redis.call('HMGET', KEYS[i + 1], 'tokens', 'at')
  local tokens = tonumber(known[1] or size)
  local since = math.max(0, now - tonumber(known[2] or now))
  tokens = math.min(size, tokens + since * rate / 1000)
  local needed = math.min(taken, size)
  if tokens < needed then
    wait = math.max(wait, math.ceil((needed - tokens) * 1000 / rate))
  end
  left[i] = tokens - taken
end
if wait > 0 then
  return wait
end
for i = 1, #KEYS - 1 do
  local rate, size = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  redis.call('HSET', KEYS[i + 1], 'tokens', string.format('%.6f', left[i]), 'at', string.format('%.3f', now))
  redis.call('PEXPIRE', KEYS[i + 1], math.ceil((size - left[i]) * 1000 / rate) + 1000)
end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 0
