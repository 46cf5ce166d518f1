//! Why Keyward answers otherwise than the original did.

/// A reason, and the questions that it is the reason for.
pub(super) const REASONS: &[(&str, &[&str])] = &[
    (
        "A bad token is refused, and the reason told",
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
        ],
    ),
    (
        "A token has one spelling: what else the signature or the number may be read from is refused",
        &["managed/sig junk tolerated", "managed/id as string '1'", "managed/id as float 1.0", "managed/id true"],
    ),
    (
        "Neither what a token holds nor what its row holds is an internal error: it is not good",
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
        ],
    ),
    (
        "It is told when a token ends, as with every handler",
        &[
            "managed/use t2",
            "managed/t2 at exactly created+300",
            "managed/token 8, after 0 s",
            "managed/token 8, after 60 s",
            "managed/token 9, after 0 s",
        ],
    ),
    (
        "Without a lifetime that can be read there is no token; there it is one that never ends",
        &["managed/bad duration", "managed/bad unit", "managed/non numeric"],
    ),
    (
        "A lifetime is a whole number of seconds, one at least",
        &[
            "managed/made by `create_token` with `expires_after=0`",
            "managed/made by `create_token` with `expires_after=-5`",
        ],
    ),
    (
        "Restrictions that allow nothing allow nothing; without restrictions they are left out",
        &[
            "managed/made by `create_token` with `restrictions={}`",
            "managed/token 13, after 0 s",
            "managed/token 13, after 60 s",
            "managed/token 13, after 61 s",
        ],
    ),
    (
        "What is wrong with the query is told in the log, and there is no verdict: try again once it is mended",
        &["sql-no-secret-column/id dup"],
    ),
    (
        "An actor that says nothing is a mistake in the configuration: the log tells it, and there is no verdict",
        &["hardcoded/empty actor dict"],
    ),
    ("One or more spaces stand behind the scheme (RFC 9110, section 11.4)", &["hardcoded/double space"]),
    (
        "Which of two tokens counts would be a guess",
        &["hardcoded/param twice", "hardcoded/param twice rev", "hardcoded/two authorization headers"],
    ),
];
