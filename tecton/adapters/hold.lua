-- Hold a push log for a process, unless another holds it.
-- KEYS[1] the log's claim. ARGV[1] the process, ARGV[2] for how long, in ms; 0: give it up.
-- Answers 1 if it is the process's, 0 if another's.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
