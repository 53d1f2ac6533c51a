-- Remember that a view is being loaded. KEYS[1] its loads under way. ARGV[1] the load, ARGV[2] how
-- long it may last, in ms.
redis.call('HSET', KEYS[1], ARGV[1], '1')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
