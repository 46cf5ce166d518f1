"""Issues a JWT with each algorithm of four libraries: PyJWT, Authlib, joserfc and jwcrypto.

Prints a JSON line for each: the library, the algorithm, the token, and the key that verifies it, as
`pem`, `jwk` or `secret`. The argument is the time in Unix seconds.
"""

import json
import sys

import jwt as pyjwt
from authlib.jose import JsonWebToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from jwcrypto import jwk, jwt

NOW = int(sys.argv[1])
CLAIMS = {"iss": "https://issuer", "aud": "api", "sub": "ann", "iat": NOW, "exp": NOW + 600, "jti": "1"}
SECRET = "a secret of sixty-four bytes, which is long enough for HS512 ....."
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
HMAC = ["HS256", "HS384", "HS512"]
PUBLIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]


def private_key(algorithm):
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "ES384":
        return ec.generate_private_key(ec.SECP384R1())
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else RSA


def pem_of(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem_of(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def show(library, algorithm, token, **key):
    token = token.decode() if isinstance(token, bytes) else token
    print(json.dumps({"library": library, "algorithm": algorithm, "token": token, **key}))


for algorithm in HMAC + PUBLIC:
    is_hmac = algorithm in HMAC
    private = None if is_hmac else private_key(algorithm)
    pem = None if is_hmac else pem_of(private)
    public = {"secret": SECRET} if is_hmac else {"pem": public_pem_of(private)}
    header = {"alg": algorithm, "typ": "JWT"}

    show("PyJWT", algorithm, pyjwt.encode(CLAIMS, SECRET if is_hmac else pem, algorithm), **public)
    show("Authlib", algorithm, JsonWebToken([algorithm]).encode(header, CLAIMS, SECRET if is_hmac else pem), **public)

    kind = {"E": "EC", "R": "RSA", "P": "RSA", "H": "oct"}[algorithm[0]]
    kind = "OKP" if algorithm == "EdDSA" else kind
    key = joserfc_jwk.import_key(SECRET if is_hmac else pem, kind, {"alg": algorithm, "kid": "j1"})
    token = joserfc_jwt.encode({**header, "kid": "j1"}, CLAIMS, key, algorithms=[algorithm])
    show("joserfc", algorithm, token, **(public if is_hmac else {"jwk": key.as_dict(private=False)}))

    if is_hmac:
        key = jwk.JWK.from_password(SECRET)
    else:
        key = jwk.JWK.from_pem(pem)
    token = jwt.JWT(header={**header, "kid": key.thumbprint()}, claims=CLAIMS)
    token.make_signed_token(key)
    show(
        "jwcrypto",
        algorithm,
        token.serialize(),
        **(public if is_hmac else {"jwk": {**key.export_public(as_dict=True), "alg": algorithm}}),
    )
