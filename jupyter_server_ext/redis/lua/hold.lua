-- What an instance uses of windows of keys now, in place of what it did.
-- KEYS: live; then a hash for each window
-- ARGV: instance, channel; then for each window: span in µs, amount
-- Returns the time, and what the other instances use of each window.
local instance, channel, live = ARGV[1], ARGV[2], KEYS[1]
local told, news = {now}, {}
for i = 2, #KEYS do
  local span, amount = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  keep(KEYS[i], instance, amount, span)
  local others = of_each(KEYS[i], instance, span, live)
  told[#told + 1] = others
  news[#news + 1] = KEYS[i]
  news[#news + 1] = others + amount
end
tell(channel, live, instance, 'leased', news)
return told
