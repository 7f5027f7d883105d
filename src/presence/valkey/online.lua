-- KEYS: users. Returns 1 for each that has a live socket, else 0.
local online = {}
for at, key in ipairs(KEYS) do
  online[at] = latest(key) > 0 and 1 or 0
end
return online
