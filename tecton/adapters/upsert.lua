-- Keep for each key the row with the greatest (timestamp, sequence, body).
-- ARGV[1] 1: KEYS[1] is the watermark of a push log, ARGV[2] the batch that must have been
--   applied, ARGV[3] the batch that these rows are; answers 0 and does nothing if there is a gap.
-- ARGV[1] 0: no such chain.
-- Then two arguments a key: value, and when it may be forgotten (ms since 1970, 0 for never).

-- Bytes are compared one by one: Lua's < follows the locale of the server.
local function is_greater(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x > y
    end
  end
  return #a > #b
end

local function is_newer(new, old)
  local new_time, new_sequence = struct.unpack('>i8i8', new)
  local old_time, old_sequence = struct.unpack('>i8i8', old)
  if new_time ~= old_time then
    return new_time > old_time
  end
  if new_sequence ~= old_sequence then
    return new_sequence > old_sequence
  end
  return is_greater(new, old)
end

local chained = tonumber(ARGV[1])
local argument = 2
local applied = 0
if chained == 1 then
  applied = tonumber(redis.call('GET', KEYS[1]) or '0')
  if applied < tonumber(ARGV[2]) then
    return 0
  end
  argument = 4
end
for i = 1 + chained, #KEYS do
  local new, expires = ARGV[argument], ARGV[argument + 1]
  argument = argument + 2
  local old = redis.call('GET', KEYS[i])
  if not old or is_newer(new, old) then
    if expires == '0' then
      redis.call('SET', KEYS[i], new)
    else
      redis.call('SET', KEYS[i], new, 'PXAT', expires)
    end
  end
end
if chained == 1 and applied < tonumber(ARGV[3]) then
  redis.call('SET', KEYS[1], ARGV[3])
end
return 1
