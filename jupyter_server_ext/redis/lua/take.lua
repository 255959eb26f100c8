-- Take from all counters, or from none.
-- KEYS: live; then a hash and an order for each counter
-- ARGV: instance, channel, and packed for each counter: limit (-1 is none), amount, span, grain in µs
-- Returns 1, the time, what is used of each; or 0, the time, and place, used and wait of each without room.
local instance, channel, live, asked = ARGV[1], ARGV[2], KEYS[1], cmsgpack.unpack(ARGV[3])

local function wait(order, hash, span, lacking)
  if span == 0 then return 0 end
  local from = 0
  while true do  -- mostly the first few are enough, of what may be thousands
    local some = call('ZRANGE', order, from, from + 15)
    for _, member in ipairs(some) do
      lacking = lacking - number(call('HGET', hash, member))
      if lacking <= 0 then return tonumber(string.match(member, '^%d+')) + span - now end
    end
    if #some < 16 then return -1 end
    from = from + 16
  end
end

local slots, members = {}, {}
local function member_of(grain)
  local slot = text(math.floor(now / grain) * grain + grain - 1)
  slots[grain], members[grain] = slot, slot .. ':' .. instance
  return members[grain]
end

local short, counts, mine, firsts, ends = {}, {}, {}, {}, {}
local counters = (#KEYS - 1) / 2
for i = 1, counters do
  local hash, order, at = KEYS[2 * i], KEYS[2 * i + 1], 4 * i - 3
  local limit, amount, span, grain = asked[at], asked[at + 1], asked[at + 2], asked[at + 3]
  if span > 0 then
    counts[i], mine[i], firsts[i], ends[i] = look(hash, order, span, members[grain] or member_of(grain))
  else
    counts[i] = gauge_used(hash, live)
  end
  if limit >= 0 and counts[i] + amount > limit then
    local lacking = counts[i] + amount - limit
    local until_then = amount > limit and -1 or wait(order, hash, span, lacking)
    for _, value in ipairs({i, counts[i], until_then}) do short[#short + 1] = value end
  end
end
if #short > 0 then return {0, now, unpack(short)} end

local news = {}
for i = 1, counters do
  local hash, order, at = KEYS[2 * i], KEYS[2 * i + 1], 4 * i - 3
  local amount, span, grain = asked[at + 1], asked[at + 2], asked[at + 3]
  if amount ~= 0 then
    if span > 0 then
      put(hash, order, span, slots[grain], members[grain], amount, counts[i], mine[i], firsts[i], ends[i])
    elseif call('HINCRBY', hash, instance, amount) == amount then
      call('PEXPIRE', hash, 86400000)
    end
    counts[i] = counts[i] + amount
    if asked[at] >= 0 then
      news[#news + 1] = hash
      news[#news + 1] = counts[i]
      news[#news + 1] = span
    end
  end
end
tell(channel, live, instance, 'used', news)
return {1, now, unpack(counts)}
