//! Reasons for Keyward's differences from the original.

/// Reasons, each with the requests to which it applies.
pub(super) type Reasons = &'static [(&'static str, &'static [&'static str])];

/// The reasons of datasette-auth-tokens and hypothesis.
pub(super) const REASONS: Reasons = &[
    (
        "Keyward rejects an invalid token and reports the reason",
        &[
            "sql-query/ok text-affinity 1",
            "sql-query/ok 2",
            "sql-query/secret of other id",
            "sql-query/unknown id",
            "sql-query/empty secret given",
            "sql-query/leading zero id",
            "sql-query/space id",
            "sql-no-secret-column/id 1",
            "sql-no-secret-column/unknown id",
            "managed/tampered",
            "managed/bad sig",
            "managed/wrong namespace token",
            "managed/unknown id 999",
            "managed/id 0",
            "managed/id -1",
            "managed/id null",
            "managed/id string x",
            "managed/prefix only",
            "managed/t2 at created+301: expired",
            "managed/t2 stays expired though clock goes back",
            "managed/use revoked t1",
            "managed/revoked t1 by param",
            "managed/use revoked t3",
            "managed/token 8, after 61 s",
            "managed/token 9, after 60 s",
            "managed/token 9, after 61 s",
            "managed/token 10, after 0 s",
            "managed/token 10, after 60 s",
            "managed/token 10, after 61 s",
            "hypothesis/api case",
            "hypothesis/jwt beginning 6879- falls through",
            "hypothesis/iat string",
            "hypothesis/nbf future 241",
            "hypothesis/aud other",
            "hypothesis/aud missing",
            "hypothesis/aud list of number",
            "hypothesis/sub null",
            "hypothesis/alg HS512 header",
            "hypothesis/alg RS256",
            "hypothesis/payload string",
            "hypothesis/two parts",
            "hypothesis/sig junk",
        ],
    ),
    (
        "A token has a single spelling: other encodings of the signature or the number are rejected",
        &[
            "managed/sig junk tolerated",
            "managed/id as string '1'",
            "managed/id as float 1.0",
            "managed/id true",
            "hypothesis/sig noncanonical",
        ],
    ),
    (
        "The content of a token or of its row never causes an internal error: the token is not valid",
        &[
            "hardcoded/param non-ascii",
            "sql-query/one extra hyphen",
            "sql-query/stored secret has hyphen",
            "sql-query/numeric secret stored",
            "sql-query/null secret stored",
            "sql-query/unicode secret (utf-8 bytes)",
            "sql-query/param unicode",
            "managed/id list",
            "managed/id dict",
            "managed/id 2**63",
            "hypothesis/exp null",
        ],
    ),
    (
        "A JWT whose `kid` or `sub` is not text is rejected, as RFC 7515 and RFC 7519 define both",
        &["hypothesis/kid number", "hypothesis/sub list"],
    ),
    (
        "A JWT with an extension that changes what is signed is rejected (RFC 7515 section 4.1.11, RFC 7797)",
        &["hypothesis/b64 false"],
    ),
    (
        "The expiry is reported, as with every handler",
        &[
            "managed/use t2",
            "managed/t2 at exactly created+300",
            "managed/token 8, after 0 s",
            "managed/token 8, after 60 s",
            "managed/token 9, after 0 s",
        ],
    ),
    (
        "A lifetime that cannot be parsed yields no token; the original issues one that never expires",
        &["managed/bad duration", "managed/bad unit", "managed/non numeric"],
    ),
    (
        "A lifetime is a whole number of seconds, at least 1",
        &[
            "managed/issued by `create_token` with `expires_after=0`",
            "managed/issued by `create_token` with `expires_after=-5`",
        ],
    ),
    (
        "Empty restrictions allow nothing; a token without restrictions omits them",
        &[
            "managed/issued by `create_token` with `restrictions={}`",
            "managed/token 13, after 0 s",
            "managed/token 13, after 60 s",
            "managed/token 13, after 61 s",
        ],
    ),
    (
        "An error in the query is logged, and there is no verdict: retry once it is fixed",
        &["sql-no-secret-column/id dup"],
    ),
    ("An empty actor is a configuration error: it is logged, and there is no verdict", &["hardcoded/empty actor dict"]),
    ("One or more spaces follow the scheme (RFC 9110, section 11.4)", &["hardcoded/double space"]),
    (
        "Choosing between two tokens would be a guess",
        &["hardcoded/param twice", "hardcoded/param twice rev", "hardcoded/two authorization headers"],
    ),
];

/// The reasons of datasette-auth-existing-cookies.
pub(super) const SESSIONS: Reasons = &[
    ("Restrictions come from the operator: a member `_r` in an actor is an error", &["responses/a member `_r`"]),
    ("Choosing between two values would be a guess: cannot tell", &["responses/a member twice"]),
    (
        "An actor is an object; `{}`, `null` and `[]` are none, and other JSON tells nothing",
        &[
            "responses/`0`",
            "responses/`false`",
            "responses/`\"\"`",
            "responses/`[1]`",
            "responses/`\"x\"`",
            "responses/`5`",
            "responses/`true`",
        ],
    ),
    (
        "Only 401, 403 and 404 say that there is no user; after another status, Keyward cannot tell",
        &[
            "responses/201",
            "responses/204",
            "responses/301",
            "responses/302",
            "responses/400",
            "responses/429",
            "responses/500",
            "responses/503",
            "ttl/500",
        ],
    ),
    (
        "A failure of the API is reported as one, and not as an error of the application",
        &[
            "responses/no JSON",
            "responses/no body",
            "responses/a closed connection",
            "responses/no response",
            "ttl/no JSON",
            "ttl/no JSON, again",
        ],
    ),
    ("A failure is not cached", &["ttl/500, again"]),
    ("The API names only actors that the operator permits", &["actors/`root`, not permitted"]),
    (
        "Without a cookie there is no request, unless `anonymous = true`",
        &["cookies/another cookie only", "cookies/all are empty", "cookies/no cookie"],
    ),
    (
        "The API receives only cookies that the operator lists, and none of other applications",
        &["all cookies/no list of cookies", "no cookies/an empty list of cookies"],
    ),
    ("The URL is requested as it is configured", &["query/a URL with a query"]),
    ("A user who signs in is identified after five seconds at the latest", &["ttl/401, after 9 s"]),
    ("Equal requests share one call", &["parallel/five requests at once"]),
    (
        "A token decides alone: it causes no request to the API, whose failure does not matter",
        &[
            "tokens/a valid token and a cookie",
            "tokens/an invalid token and a cookie",
            "tokens/a valid token, the API closes the connection",
            "tokens/a valid token, without a cookie",
        ],
    ),
    (
        "Datasette's own cookie is no cookie of the site; with Keyward's plugin, Datasette prefers it as well",
        &["tokens/Datasette's own cookie"],
    ),
];
