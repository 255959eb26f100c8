-- Correct what one instance has taken, without asking whether there is room.
-- KEYS: live; then a hash and an order for each change
-- ARGV: instance, channel; then for each change: span in µs, slot, difference (of a gauge: the amount itself)
-- Returns the time and what is used of each meter.
local instance, channel, live = ARGV[1], ARGV[2], KEYS[1]
local news, counts = {}, {}
for i = 1, (#KEYS - 1) / 2 do
  local hash, order, at = KEYS[2 * i], KEYS[2 * i + 1], 3 * i
  local span, slot, amount = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  if span == 0 then
    redis.call('HDEL', hash, instance)
    if amount ~= '0' then hold(hash, instance, amount) end
  elseif slot + span > now then
    local there = redis.call('HEXISTS', hash, slot .. ':' .. instance) == 1
    if there or tonumber(amount) > 0 then put(hash, order, span, slot, instance, amount) end
  end
  counts[i] = used(hash, order, span, live)
  news[#news + 1] = hash
  news[#news + 1] = counts[i]
  news[#news + 1] = span
end
tell(channel, live, instance, 'used', news)
return {now, unpack(counts)}
