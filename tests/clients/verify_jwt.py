"""Verifies JWTs with PyJWT, Authlib, joserfc and jwcrypto, and prints how many verifications passed.

Reads a JSON line for each: the algorithm, the token, and the secret or the JWK Set. The argument is the time in
Unix seconds.
"""

import json
import sys
from unittest.mock import patch

import jwt as pyjwt
from authlib.jose import JsonWebKey as AuthlibKeySet
from authlib.jose import JsonWebToken
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from jwcrypto import jwk, jwt

NOW = int(sys.argv[1])
passed = 0
for line in sys.stdin:
    case = json.loads(line)
    algorithm, token = case["algorithm"], case["token"]
    if "jwks" in case:
        text = json.dumps(case["jwks"])
        kid = pyjwt.get_unverified_header(token)["kid"]
        keys = (
            next(key.key for key in pyjwt.PyJWKSet.from_json(text).keys if key.key_id == kid),
            AuthlibKeySet.import_key_set(case["jwks"]),
            joserfc_jwk.KeySet.import_key_set(case["jwks"]),
            jwk.JWKSet.from_json(text),
        )
    else:
        secret = case["secret"]
        keys = (secret, secret, joserfc_jwk.import_key(secret, "oct"), jwk.JWK.from_password(secret))
    skew = {"verify_exp": False, "verify_iat": False}
    found = [pyjwt.decode(token, keys[0], [algorithm], audience="api", issuer="us", options=skew)]
    claims = JsonWebToken([algorithm]).decode(token, keys[1])
    claims.validate(now=NOW)
    found.append(dict(claims))
    decoded = joserfc_jwt.decode(token, keys[2], algorithms=[algorithm])
    joserfc_jwt.JWTClaimsRegistry(now=NOW, aud={"essential": True, "value": "api"}).validate(decoded.claims)
    found.append(decoded.claims)
    with patch("time.time", return_value=NOW):
        checked = jwt.JWT(jwt=token, key=keys[3], algs=[algorithm], check_claims={"aud": "api"})
    found.append(json.loads(checked.claims))
    for claims in found:
        assert claims["sub"] == "ann" and claims["iss"] == "us" and claims["exp"] == NOW + 60, claims
        passed += 1
print(passed)
