// Verifies JWTs with `jose`: see verify_jwt.py. The arguments are the folder of the package and the
// time in Unix seconds.

import { createInterface } from 'node:readline'

const [, , folder, now] = process.argv
const { createLocalJWKSet, jwtVerify } = await import(`${folder}/dist/webapi/index.js`)

let passed = 0
for await (const line of createInterface({ input: process.stdin })) {
  const { algorithm, token, secret, jwks } = JSON.parse(line)
  const key = jwks ? createLocalJWKSet(jwks) : new TextEncoder().encode(secret)
  const { payload } = await jwtVerify(token, key, {
    algorithms: [algorithm],
    audience: 'api',
    issuer: 'us',
    currentDate: new Date(Number(now) * 1000),
  })
  if (payload.sub !== 'ann' || payload.exp !== Number(now) + 60) throw new Error(JSON.stringify(payload))
  passed += 1
}
console.log(passed)
