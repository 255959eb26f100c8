-- Put what one instance says of itself in the place of all that is known of it; sent again, it changes nothing.
-- KEYS: live, hash, order
-- ARGV: instance, channel, span in µs; then slot and amount of each part (of a gauge: 0 and the amount)
-- Returns the time and what is used.
local instance, channel, span = ARGV[1], ARGV[2], tonumber(ARGV[3])
local live, hash, order = KEYS[1], KEYS[2], KEYS[3]
local function add(slot, amount)
  local member = slot .. ':' .. instance
  put(hash, order, span, slot, member, amount, look(hash, order, span, member))
end
if span == 0 then
  hold(hash, instance, ARGV[5] or '0')
else
  local mine = ':' .. instance
  for _, member in ipairs(call('ZRANGE', order, 0, -1)) do
    if string.sub(member, -#mine) == mine then
      add(string.match(member, '^%d+'), -number(call('HGET', hash, member)))
    end
  end
  for at = 4, #ARGV, 2 do
    if ARGV[at] + span > now and ARGV[at + 1] ~= '0' then add(ARGV[at], tonumber(ARGV[at + 1])) end
  end
end
local sum = used(hash, order, span, live)
tell(channel, live, instance, 'used', {hash, sum, span})
return {now, sum}
