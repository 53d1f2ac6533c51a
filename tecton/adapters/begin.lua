-- Remember that rows of a view are being brought. KEYS[1] the loads under way. ARGV[1] the load,
-- ARGV[2] how long it may last, in ms. Each load has the server that it began on: another one, after
-- a restart, a failover or an old snapshot, may lack what was brought before it.
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
redis.call('HSET', KEYS[1], ARGV[1], server)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
