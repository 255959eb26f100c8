-- What is used of counters.
-- KEYS: live; then a hash and an order for each counter
-- ARGV: span in µs of each
-- Returns the time; then what is used of each, and the slot taken last.
local told = {now}
for i = 1, #ARGV do
  local hash, order, span = KEYS[2 * i], KEYS[2 * i + 1], tonumber(ARGV[i])
  told[#told + 1] = used(hash, order, span, KEYS[1])
  local last = span > 0 and call('ZRANGE', order, -1, -1)[1]
  told[#told + 1] = last and tonumber(string.match(last, '^%d+')) or 0
end
return told
