-- Correct what one instance has taken, without asking whether there is room.
-- KEYS: live; then a hash and an order for each change
-- ARGV: instance, channel; then for each change: span in µs, slot, difference (of a gauge: the amount itself)
-- Returns the time and what is used of each counter.
local instance, channel, live = ARGV[1], ARGV[2], KEYS[1]
local news, counts = {}, {}
for i = 1, (#KEYS - 1) / 2 do
  local hash, order, at = KEYS[2 * i], KEYS[2 * i + 1], 3 * i
  local span, slot, amount = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
  if span == 0 then
    hold(hash, instance, ARGV[at + 2])
    counts[i] = gauge_used(hash, live)
  else
    local member = slot .. ':' .. instance
    local sum, mine, first, ends = look(hash, order, span, member)
    if slot + span > now and (mine or amount > 0) then
      put(hash, order, span, slot, member, amount, sum, mine, first, ends)
      sum = sum + amount
    end
    counts[i] = sum
  end
  news[#news + 1] = hash
  news[#news + 1] = counts[i]
  news[#news + 1] = span
end
tell(channel, live, instance, 'used', news)
return {now, unpack(counts)}
