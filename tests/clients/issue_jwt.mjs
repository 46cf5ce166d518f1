// Issues a JWT with each algorithm of `jose`: see issue_jwt.py. The arguments are the folder of the
// package and the time in Unix seconds.

const [, , folder, now] = process.argv
const { SignJWT, exportJWK, generateKeyPair } = await import(`${folder}/dist/webapi/index.js`)

const SECRET = 'a secret of sixty-four bytes, which is long enough for HS512 .....'
const HMAC = ['HS256', 'HS384', 'HS512']
const PUBLIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA']

for (const alg of [...HMAC, ...PUBLIC]) {
  const pair = HMAC.includes(alg) ? null : await generateKeyPair(alg, { extractable: true })
  const token = await new SignJWT({ jti: '1' })
    .setProtectedHeader({ alg, typ: 'at+jwt' })
    .setIssuer('https://issuer')
    .setAudience(['other', 'api'])
    .setSubject('ann')
    .setIssuedAt(Number(now))
    .setExpirationTime(Number(now) + 600)
    .sign(pair ? pair.privateKey : new TextEncoder().encode(SECRET))
  const key = pair ? { jwk: { ...(await exportJWK(pair.publicKey)), alg } } : { secret: SECRET }
  console.log(JSON.stringify({ library: 'jose', algorithm: alg, token, ...key }))
}
