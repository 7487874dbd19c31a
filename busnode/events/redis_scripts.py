"""What Redis does in one piece: Lua scripts, each of which can be repeated where its reply was lost."""

# A day: longer than anybody repeats a request.
KEPT_SECONDS = 86_400
KEPT_RESPONSES = 10_000

# KEYS stream sent answer; ARGV text key seconds mark. Gives the mark of what was sent first, and its answer, if any.
PUBLISH = """
local sent = redis.call('GET', KEYS[2])
if sent then return {sent, sent == ARGV[4] and redis.call('GET', KEYS[3]) or ''} end
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[3])
redis.call('DEL', KEYS[3])
redis.call('XADD', KEYS[1], '*', 'text', ARGV[1], 'key', ARGV[2])
return {ARGV[4], ''}
"""

# An attempt counts where a request is handed out to be worked on, not where it is held until its turn; once a token,
# for a script may be repeated.
_COUNT = """
local function count(attempts, id, token)
    if redis.call('HGET', attempts, id .. ':by') ~= token then
        redis.call('HSET', attempts, id .. ':by', token)
        redis.call('HINCRBY', attempts, id, 1)
    end
    return tonumber(redis.call('HGET', attempts, id))
end
"""

# KEYS attempts; ARGV id token. The attempt that was counted under the token is none; another worker's stays.
TAKE_BACK = """
if redis.call('HGET', KEYS[1], ARGV[1] .. ':by') == ARGV[2] then
    redis.call('HDEL', KEYS[1], ARGV[1] .. ':by')
    redis.call('HINCRBY', KEYS[1], ARGV[1], -1)
end
"""

# KEYS stream attempts; ARGV group consumer turns idle token. Gives id, text, key, attempts (0 for what is held); or the
# id after which there is nothing.
TAKE = (
    _COUNT
    + """
local cursor, entry = '0-0', nil
repeat
    local found = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[4], cursor, 'COUNT', 1)
    cursor, entry = found[1], found[2][1]
until entry or cursor == '0-0'
if not entry then
    local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
    if read then entry = read[1][2][1] end
end
if not entry then
    local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
    return {last[1] and last[1][1] or '0-0'}
end
local text, key = '', ''
for at = 1, #(entry[2] or {}), 2 do
    if entry[2][at] == 'text' then text = entry[2][at + 1] end
    if entry[2][at] == 'key' then key = entry[2][at + 1] end
end
if key ~= '' and not redis.call('LPOS', ARGV[3] .. key, entry[1]) then
    redis.call('RPUSH', ARGV[3] .. key, entry[1])
end
return {entry[1], text, key, key == '' and count(KEYS[2], entry[1], ARGV[5]) or 0}
"""
)

# KEYS attempts; ARGV turns token, then id and key in turn. Gives the number of the first whose turn it is, counted from
# 0, and its attempts; -1 for none. Then the ids that will have no turn: another worker has answered them.
WHOSE_TURN = (
    _COUNT
    + """
local gone = {}
for at = 3, #ARGV, 2 do
    local turn = ARGV[1] .. ARGV[at + 1]
    if redis.call('LINDEX', turn, 0) == ARGV[at] then
        return {(at - 3) / 2, count(KEYS[1], ARGV[at], ARGV[2]), gone}
    end
    if not redis.call('LPOS', turn, ARGV[at]) then gone[#gone + 1] = ARGV[at] end
end
return {-1, 0, gone}
"""
)

# KEYS stream answer responses turn aside attempts; ARGV group id response seconds length text. The first one stays.
ANSWER = """
if redis.call('SET', KEYS[2], ARGV[3], 'NX', 'EX', ARGV[4]) then
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'text', ARGV[3])
end
if ARGV[6] ~= '' then redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[5], '*', 'text', ARGV[6]) end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('LREM', KEYS[4], 0, ARGV[2])
redis.call('HDEL', KEYS[6], ARGV[2], ARGV[2] .. ':by')
"""
