"""Verifies JWTs with PyJWT, Authlib, joserfc and jwcrypto, and prints how many verifications passed.

Reads a JSON line for each: the algorithm, the token and the secret. The argument is the time in
Unix seconds.
"""

import json
import sys
from unittest.mock import patch

import jwt as pyjwt
from authlib.jose import JsonWebToken
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from jwcrypto import jwk, jwt

NOW = int(sys.argv[1])
passed = 0
for line in sys.stdin:
    case = json.loads(line)
    algorithm, token, secret = case["algorithm"], case["token"], case["secret"]
    skew = {"verify_exp": False, "verify_iat": False}
    found = [pyjwt.decode(token, secret, [algorithm], audience="api", issuer="us", options=skew)]
    claims = JsonWebToken([algorithm]).decode(token, secret)
    claims.validate(now=NOW)
    found.append(dict(claims))
    key = joserfc_jwk.import_key(secret, "oct")
    decoded = joserfc_jwt.decode(token, key, algorithms=[algorithm])
    joserfc_jwt.JWTClaimsRegistry(now=NOW, aud={"essential": True, "value": "api"}).validate(decoded.claims)
    found.append(decoded.claims)
    with patch("time.time", return_value=NOW):
        checked = jwt.JWT(jwt=token, key=jwk.JWK.from_password(secret), algs=[algorithm], check_claims={"aud": "api"})
    found.append(json.loads(checked.claims))
    for claims in found:
        assert claims["sub"] == "ann" and claims["iss"] == "us" and claims["exp"] == NOW + 60, claims
        passed += 1
print(passed)
