-- Offer events. KEYS are tries; ARGV are two for each: its layout, and its events (each after its
-- length, 4 bytes, if their width differs). Answers the numbers of those keys that have something
-- to tidy.
local found = {}
for i = 1, #KEYS do
  if upsert(KEYS[i], ARGV[2 * i - 1], ARGV[2 * i]) then
    found[#found + 1] = i
  end
end
return found
