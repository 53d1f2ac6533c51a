-- Begin the request that an idempotency key names, or tell what is known of it.
-- KEYS[1] the key's memory. ARGV[1] digest of the body, ARGV[2] this attempt's token,
-- ARGV[3] how long the attempt may last, in ms.
-- Answers {'begun'}, {'running'}, {'other body'} or {'answered', answer}.
local known = redis.call('HMGET', KEYS[1], 'digest', 'answer', 'token')
if known[1] and known[1] ~= ARGV[1] then
  return {'other body'}
end
if known[2] then
  return {'answered', known[2]}
end
if known[3] == ARGV[2] then
  -- The driver has sent this very claim twice.
  return {'begun'}
end
if known[1] then
  return {'running'}
end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'token', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'begun'}
