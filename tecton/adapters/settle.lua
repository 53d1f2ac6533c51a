-- End an attempt: remember its answer, or forget the attempt.
-- KEYS[1] the key's memory. ARGV[1] the attempt's token, ARGV[2] the answer or '' for none,
-- ARGV[3] how long the answer is kept, in ms.
-- An attempt whose time ran out, and which another has replaced, changes nothing.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'answer', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
