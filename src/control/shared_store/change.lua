-- One change of an address of record, whole or not at all (RFC 3261 section 10.3).
--
-- KEYS: the bindings, the list of changes, the version.
-- ARGV: kind, version that the change was made on, Call-ID, CSeq, address of record, home,
--   whether it comes late (0 or 1), most contacts, most changes in the list; then of each
--   binding its field and its value, which is empty where it is gone.
-- Gives 1 and the version; behind those, where the bindings are others than the home has, all
--   fields. 0 in the place of 1: refused.

local kind, base, call_id, cseq = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local late = ARGV[7] == '1'
local time = redis.call('TIME')
local now = tonumber(time[1])

-- A binding begins with its expiry, CSeq, reg-id, q and the ends of contact, parameters, Path
-- and Call-ID in the text behind the 32nd byte.
local function parse(binding)
  if #binding < 32 then return nil end
  local expiry, seq, _, _, _, _, path, id = struct.unpack('>I8I4I4I2I2I2I2I2', binding)
  return { expiry = expiry, cseq = seq, id = string.sub(binding, 33 + path, 32 + id) }
end

local version, kept, dead, live = '0', {}, {}, 0
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local name, value = all[at], all[at + 1]
  if name == 'v' then
    version = value
  else
    local old = parse(string.sub(value, 9))
    if old and old.expiry > now then
      old.stamp = struct.unpack('>I8', value)
      kept[name] = old
      live = live + 1
    else
      dead[#dead + 1] = name
    end
  end
end

local function answer(outcome, stamp, tells)
  if not tells then return { outcome, stamp } end
  local reply = redis.call('HGETALL', KEYS[1])
  table.insert(reply, 1, stamp)
  table.insert(reply, 1, outcome)
  return reply
end

local set, gone, same = {}, {}, true
if kind == '1' or kind == '2' then
  for name, old in pairs(kept) do
    if kind == '1' and old.id == call_id and cseq <= old.cseq then
      return answer(0, version, true)
    elseif kind == '1' and late and old.stamp > tonumber(base) then
      same = false
    else
      gone[#gone + 1] = name
      live = live - 1
    end
  end
else
  for at = 10, #ARGV, 2 do
    local name, value = ARGV[at], ARGV[at + 1]
    local old, new = kept[name], value ~= '' and parse(value) or nil
    local passes = true
    if kind == '0' and old and old.id == call_id then
      if cseq < old.cseq then return answer(0, version, true) end
      -- As it was carried out before.
      passes = cseq > old.cseq
    elseif kind == '0' and old and late and old.stamp > tonumber(base) then
      passes = new and new.expiry > old.expiry
    elseif kind == '3' and old and new and old.id == new.id then
      passes = new.cseq > old.cseq
    elseif kind == '3' and old and new then
      passes = new.expiry > old.expiry
    end
    if not passes then
      same = false
    elseif new then
      set[#set + 1] = name
      set[#set + 1] = value
      if not old then live = live + 1 end
    elseif old then
      gone[#gone + 1] = name
      live = live - 1
    end
  end
  if live > tonumber(ARGV[8]) then return answer(0, version, true) end
end
if #set == 0 and #gone == 0 then
  return answer(1, version, not same or version ~= base or #dead > 0)
end

same = same and version == base and #dead == 0
if redis.call('EXISTS', KEYS[3]) == 0 then
  -- Greater than any before, should the store have lost what it had.
  redis.call('SET', KEYS[3], time[1] .. string.format('%06d', tonumber(time[2])))
end
local stamp = string.format('%.0f', redis.call('INCR', KEYS[3]))
for at = 1, #set, 2 do
  redis.call('HSET', KEYS[1], set[at], struct.pack('>I8', tonumber(stamp)) .. set[at + 1])
end
for _, name in ipairs(gone) do redis.call('HDEL', KEYS[1], name) end
for _, name in ipairs(dead) do redis.call('HDEL', KEYS[1], name) end
local latest = 0
for _, old in pairs(kept) do latest = math.max(latest, old.expiry) end
for at = 2, #set, 2 do latest = math.max(latest, parse(set[at]).expiry) end
if live > 0 then
  redis.call('HSET', KEYS[1], 'v', stamp)
  redis.call('EXPIREAT', KEYS[1], string.format('%.0f', latest))
else
  redis.call('DEL', KEYS[1])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[9], '*', 'a', ARGV[5], 'v', stamp, 'h', ARGV[6])
return answer(1, stamp, not same)
