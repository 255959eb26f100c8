-- Take what a request costs from all windows of the first key that has room.
-- KEYS: live; then a hash for each window
-- ARGV: instance, channel, and packed: how many keys; for each key how many windows it has; for each of those windows its
--   place among KEYS, limit, amount, span in µs
-- Returns the time, the place of the key (0 is none), and what the other instances use of each window that was looked at,
--   -1 for those that were not.
local instance, channel, live, asked = ARGV[1], ARGV[2], KEYS[1], cmsgpack.unpack(ARGV[3])
local offers = asked[1]

local spans, others, mine = {}, {}, {}
local at, chosen, first = 2 + offers, 0, 0
for offer = 1, offers do
  local fits, windows = true, asked[1 + offer]
  for i = 0, windows - 1 do
    local row = at + 4 * i
    local place, limit, amount, span = asked[row], asked[row + 1], asked[row + 2], asked[row + 3]
    if not others[place] then
      spans[place] = span
      others[place], mine[place] = of_each(KEYS[place], instance, span, live)
    end
    if others[place] + mine[place] + amount > limit then fits = false end
  end
  if fits then
    chosen, first = offer, at
    break
  end
  at = at + 4 * windows
end

if chosen > 0 then
  local news = {}
  for i = 0, asked[1 + chosen] - 1 do
    local row = first + 4 * i
    local place, amount = asked[row], asked[row + 2]
    keep(KEYS[place], instance, mine[place] + amount, spans[place])
    news[#news + 1] = KEYS[place]
    news[#news + 1] = others[place] + mine[place] + amount
  end
  tell(channel, live, instance, 'leased', news)
end

local told = {now, chosen}
for i = 2, #KEYS do told[#told + 1] = others[i] or -1 end
return told
