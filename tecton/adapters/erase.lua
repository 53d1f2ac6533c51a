-- Delete the rows that were accepted up to an erasure. KEYS are rows; ARGV[1] is its sequence.
-- The sequence of a batch row is the start of its run minus 2^53.
local until_sequence = tonumber(ARGV[1])
for i = 1, #KEYS do
  local old = redis.call('GET', KEYS[i])
  if old then
    local _, sequence = struct.unpack('>i8i8', old)
    if sequence <= 0 then
      sequence = sequence + 2 ^ 53
    end
    if sequence <= until_sequence then
      redis.call('DEL', KEYS[i])
    end
  end
end
return 1
