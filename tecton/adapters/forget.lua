-- Delete rows of a view that nobody shall read any more. KEYS[1] to KEYS[3] are its marker, its loads
-- under way and how far it has come, the others rows of the same bucket. A load that began before may
-- have offered these very rows, so it can no longer end well (loaded.lua, advance.lua).
return redis.call('DEL', unpack(KEYS))
