-- `http-request lua.keyward POLICY`: checks with Keyward whether the request may pass. Only a 200 lets
-- it pass and sets the identity headers. Every other response goes to the client unchanged, and a
-- missing response is a 503.

local KEYWARD = "http://127.0.0.1:8787/v1/auth/forward/"
-- Timeout of one attempt in milliseconds. There are four attempts, unless `httpclient.retries` of
-- HAProxy 2.7 and later sets another number.
local TIMEOUT = 1000
local IDENTITY = { "x-auth-subject", "x-auth-token-id", "x-auth-scopes", "x-auth-handler", "x-auth-expires" }
-- The headers of the client that Keyward needs. Policies with `session` need "cookie", too.
local CREDENTIALS = { "authorization" }
local PASSED_ON = { "www-authenticate", "retry-after", "cache-control" }

local function refuse(txn, status, headers)
    local reply = txn:reply({ status = status })
    for _, name in ipairs(PASSED_ON) do
        for _, value in pairs(headers[name] or {}) do
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

core.register_action("keyward", { "http-req" }, function(txn, policy)
    local question = {
        ["x-forwarded-method"] = { txn.sf:method() },
        ["x-forwarded-uri"] = { txn.sf:pathq() },
    }
    -- Forward all of them, so that Keyward rejects a request with several instead of using the first.
    local headers = txn.http:req_get_headers()
    for _, name in ipairs(CREDENTIALS) do
        local values = headers[name]
        if values then
            question[name] = {}
            for i = 0, #values do
                table.insert(question[name], values[i])
            end
        end
    end

    local answer = core.httpclient():head({ url = KEYWARD .. policy, headers = question, timeout = TIMEOUT })
    if not answer or not answer.status or answer.status < 200 then
        return refuse(txn, 503, {})
    end
    if answer.status ~= 200 then
        return refuse(txn, answer.status, answer.headers)
    end
    for _, name in ipairs(IDENTITY) do
        local values = answer.headers[name]
        if not values or not values[0] or values[1] then
            return refuse(txn, 503, {})
        end
        txn.http:req_set_header(name, values[0])
    end
end, 1)
